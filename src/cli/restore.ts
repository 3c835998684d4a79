import { loadConfig } from '../config/config.ts'
import { restoreBackup } from '../store/sqlite/backup/backup.ts'
import { assertSqlite, parseFile, showCopy } from './backup.ts'
import { type CliCommand, EXIT } from './command.ts'
import { escapeForTerminal } from './terminal/escape.ts'

/** `restore`: replaces the database by a backup. */
export const restore: CliCommand = {
  name: 'restore',
  summary: 'put a backup in the place of the database',
  usage: ['FILE [--json]'],
  about: `Stop all gateways first; a database that a process has open is not replaced. FILE is checked and copied, and stays
where it is. The old database and its -wal are kept under another name, which is printed. The gateway that starts
next gives the database a new log_id, and ids beyond all that the old one can have assigned. FILE can also be another
copy of a database.`,
  flags: { json: { description: 'print a summary of the restored database as a JSON object' } },
  completes: 'files',
  examples: [
    ['deepsoc-gateway restore /backups/gateway-2026-11-22.db', 'Restore the database of DATABASE_URL'],
    [
      'DATABASE_URL=sqlite:trial.db deepsoc-gateway restore /backups/gateway-2026-11-22.db',
      'Try a backup in another place',
    ],
  ],
  run: async (args, io) => {
    const from = parseFile(args, 'the backup to restore')
    assertSqlite()
    const { databaseFile: to } = loadConfig()
    const result = await restoreBackup({ from, to, signal: io.signal, ...showCopy('restoring', io) }, new Date())
    io.progress.clear()
    const { messages, last_db_id, replaced } = result
    const old = replaced === null ? '' : `; the old database is ${escapeForTerminal(replaced)}`
    const summary = `${escapeForTerminal(to)}: ${messages.toLocaleString('en')} messages up to db_id ${last_db_id}${old}`
    await io.out.write(`${args.switch('json') ? JSON.stringify({ file: to, ...result }) : summary}\n`)
    return EXIT.ok
  },
}
