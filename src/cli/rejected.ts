import type { Group } from './command.ts'
import { drop } from './rejected/drop.ts'
import { list } from './rejected/list.ts'
import { replay } from './rejected/replay.ts'
import { show } from './rejected/show.ts'

/** `rejected`: the quarantine of a database, also while a gateway runs on it. */
export const rejected: Group = {
  name: 'rejected',
  summary: 'look at what was set aside, replay or drop it',
  commands: { list, show, replay, drop },
}
