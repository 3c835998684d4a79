import { loadConfig, usesPostgres } from '../config/config.ts'
import { GatewayError } from '../core/errors.ts'
import { type BackupResult, createBackup } from '../store/sqlite/backup.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { escapeForTerminal } from './terminal-escape.ts'

const MEGABYTE = 1_000_000

const grouped = (value: number): string => value.toLocaleString('en')

const fileOf = ({ positionals }: ParsedArgs): string => {
  const [file, ...more] = positionals
  if (file === undefined || file === '') throw new UsageError('name the file to make')
  if (more.length > 0) throw new UsageError(`one file is made, but there are ${positionals.length} words`)
  return file
}

const summaryText = (file: string, { messages, last_db_id, bytes }: BackupResult): string =>
  `${escapeForTerminal(file)}: ${grouped(messages)} messages up to db_id ${last_db_id}, ${grouped(bytes)} bytes, checked`

/** `backup`: a copy of the database as it is at this moment. */
export const backup: CliCommand = {
  name: 'backup',
  summary: 'copy the database into a file, also while a gateway runs on it',
  usage: ['FILE [--json]'],
  about: `The copy is of one moment, checked, and on the disk once FILE is there. A file that exists is never overwritten. To
restore it, put it in the place of the database while no gateway runs, without the old -wal and -shm, and start one.`,
  flags: { json: { meaning: 'print what the backup holds as a JSON object' } },
  examples: [
    ['deepsoc-gateway backup gateway-backup.db', 'Back up the database of DATABASE_URL'],
    ['deepsoc-gateway backup "gateway-$(date +%F).db"', 'One for each day'],
  ],
  run: async (given, io) => {
    const file = fileOf(given)
    if (usesPostgres()) {
      throw new GatewayError('backup_unsupported', 'DATABASE_URL names PostgreSQL, which has backup tools of its own.')
    }
    const { databaseFile } = loadConfig()
    let total = 0
    const show = (done: number) =>
      io.progress.show({ what: 'backing up', done: done / MEGABYTE, total: total / MEGABYTE, unit: 'MB', failed: 0 })
    const made = await createBackup({
      from: databaseFile,
      to: file,
      signal: io.signal,
      onProgress: (done, of) => {
        total = of
        show(done)
      },
      onCheck: () => show(total),
    })
    io.progress.clear()
    await io.out.write(`${given.switch('json') ? JSON.stringify({ file, ...made }) : summaryText(file, made)}\n`)
    return EXIT.ok
  },
}
