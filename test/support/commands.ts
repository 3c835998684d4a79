import { backup } from '../../src/commands/backup.ts'
import type { Command } from '../../src/commands/command.ts'
import { config } from '../../src/commands/config.ts'
import { demo } from '../../src/commands/demo.ts'
import { health } from '../../src/commands/health.ts'
import { publish } from '../../src/commands/publish.ts'
import { rejected } from '../../src/commands/rejected.ts'
import { serve } from '../../src/commands/serve.ts'
import { tail } from '../../src/commands/tail.ts'
import { token } from '../../src/commands/token.ts'

/** Every command there is; one of a group under both its words. */
export const COMMANDS: readonly Command[] = [
  serve,
  publish,
  tail,
  demo,
  ...Object.values(rejected.commands),
  backup,
  health,
  token,
  config,
]
