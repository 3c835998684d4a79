import { backup } from '../../../src/cli/backup.ts'
import type { CliCommand } from '../../../src/cli/command.ts'
import { config } from '../../../src/cli/config.ts'
import { demo } from '../../../src/cli/demo.ts'
import { health } from '../../../src/cli/health.ts'
import { publish } from '../../../src/cli/publish.ts'
import { rejected } from '../../../src/cli/rejected.ts'
import { serve } from '../../../src/cli/serve.ts'
import { tail } from '../../../src/cli/tail.ts'
import { token } from '../../../src/cli/token.ts'

/** Every command; one of a group with both its words. */
export const COMMANDS: readonly CliCommand[] = [
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
