/** Every driver by its name. A new one is a file beside this one and a line here. */

import type { DriverTable } from '../plan/attachment/driver.ts';
import { bridge } from './bridge.ts';
import { none } from './none.ts';
import { peer } from './peer.ts';
import { ptp } from './ptp.ts';
import { stacked } from './stacked.ts';

export const DRIVERS: DriverTable = { none, bridge, ptp, macvlan: stacked, ipvlan: stacked, peer };
