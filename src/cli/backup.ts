import { loadConfig, usesPostgres } from '../config/config.ts'
import { GatewayError } from '../core/errors.ts'
import { type BackupOptions, type BackupResult, createBackup } from '../store/sqlite/backup/backup.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import type { CommandIo } from './io.ts'
import { escapeForTerminal } from './terminal/escape.ts'

const MEGABYTE = 1_000_000

const grouped = (value: number): string => value.toLocaleString('en')

/** Returns the only argument. @throws UsageError */
export const parseFile = ({ positionals }: ParsedArgs, meaning: string): string => {
  const [file, ...more] = positionals
  if (file === undefined || file === '') throw new UsageError(`FILE is missing: ${meaning}`)
  if (more.length > 0) throw new UsageError(`expected one FILE, got ${positionals.length} arguments`)
  return file
}

/** @throws GatewayError backup_unsupported */
export const assertSqlite = (): void => {
  if (!usesPostgres()) return
  throw new GatewayError('backup_unsupported', 'DATABASE_URL is a PostgreSQL database; use the tools of PostgreSQL.')
}

/** Returns the callbacks that show the progress of a copy. */
export const showCopy = (label: string, { progress }: CommandIo): Pick<BackupOptions, 'onProgress' | 'onCheck'> => {
  let total = 0
  const show = (done: number) =>
    progress.show({ label, done: done / MEGABYTE, total: total / MEGABYTE, unit: 'MB', failed: 0 })
  return {
    onProgress: (done, size) => {
      total = size
      show(done)
    },
    onCheck: () => show(total),
  }
}

const summaryText = (file: string, { messages, last_db_id, bytes }: BackupResult): string =>
  `${escapeForTerminal(file)}: ${grouped(messages)} messages up to db_id ${last_db_id}, ${grouped(bytes)} bytes, checked`

/** `backup`: writes a consistent snapshot of the database to a file. */
export const backup: CliCommand = {
  name: 'backup',
  summary: 'back up the database to a file, even while a gateway uses it',
  usage: ['FILE [--json]'],
  about: `FILE is a snapshot of the database at one moment. It appears only once it has been checked and flushed to the disk. An
existing file is never overwritten. To restore a backup, stop all gateways and use restore.`,
  flags: { json: { description: 'print a summary of the backup as a JSON object' } },
  completes: 'files',
  examples: [
    ['deepsoc-gateway backup gateway-backup.db', 'Back up the database of DATABASE_URL'],
    ['deepsoc-gateway backup "gateway-$(date +%F).db"', 'Name the backup after the date'],
  ],
  run: async (args, io) => {
    const file = parseFile(args, 'the backup to create')
    assertSqlite()
    const { databaseFile: from } = loadConfig()
    const result = await createBackup({ from, to: file, signal: io.signal, ...showCopy('backing up', io) })
    io.progress.clear()
    await io.out.write(`${args.switch('json') ? JSON.stringify({ file, ...result }) : summaryText(file, result)}\n`)
    return EXIT.ok
  },
}
