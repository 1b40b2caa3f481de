/** IPv6 in text. node:net knows it too, but brings node's streams along: 1.3 ms in front of every hook. */

/** Whether the text is an IPv6 address, without brackets and without a zone (RFC 4291 section 2.2), as URLs have it. */
export function isIPv6(text: string): boolean {
  return /^[\da-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]`);
}
