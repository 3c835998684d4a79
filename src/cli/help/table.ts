import type { CommandTable } from '../command.ts'
import { createCompletionCommand } from './completion.ts'
import { createHelpCommand } from './help.ts'

/** All commands. `--help`, completion scripts, man page and suggestions are made from this table. */
export const COMMAND_TABLE: CommandTable = {
  serve: ['run the gateway (default)', async () => (await import('../serve.ts')).serve],
  publish: ['publish a message, or JSON lines from stdin', async () => (await import('../publish.ts')).publish],
  events: ['list the events, latest activity first', async () => (await import('../events.ts')).events],
  tail: ['print the messages of events as they arrive', async () => (await import('../tail.ts')).tail],
  search: ['find messages of all events by their text', async () => (await import('../search.ts')).search],
  demo: ['publish simulated incidents of a team of agents', async () => (await import('../demo.ts')).demo],
  rejected: [
    'list, show, replay or delete quarantined messages',
    async () => (await import('../rejected.ts')).rejected,
  ],
  backup: ['back up the database while it is in use', async () => (await import('../backup.ts')).backup],
  restore: ['put a backup in the place of the database', async () => (await import('../restore.ts')).restore],
  migrate: ['move the store to another database', async () => (await import('../migrate.ts')).migrateCommand],
  health: ['check whether a gateway is ready, or its cluster safe', async () => (await import('../health.ts')).health],
  token: ['sign a token for testing', async () => (await import('../token.ts')).token],
  config: [
    'show the effective configuration, or check it (--check)',
    async () => (await import('../config.ts')).config,
  ],
  completion: ['print a completion script for bash, zsh or fish', async () => createCompletionCommand(COMMAND_TABLE)],
  help: ['show the help of a command, or the man page (--man)', async () => createHelpCommand(COMMAND_TABLE)],
}
