import type { CommandGroup } from './command.ts'
import { dropCommand } from './rejected/drop.ts'
import { listCommand } from './rejected/list.ts'
import { replayCommand } from './rejected/replay.ts'
import { showCommand } from './rejected/show.ts'

/** `rejected`: works on the quarantine of a database, even while a gateway uses it. */
export const rejected: CommandGroup = {
  name: 'rejected',
  summary: 'list, show, replay or delete quarantined messages',
  commands: { list: listCommand, show: showCommand, replay: replayCommand, drop: dropCommand },
}
