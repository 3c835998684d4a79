import { loadEnv } from '../config/load-env.ts'
import { ConfigValueError, parseDatabaseUrl } from '../config/parsers.ts'
import { readRawConfig, requireValid } from '../config/raw-config.ts'
import type { StoreLocation } from '../store/open-store.ts'
import { createSource, createTarget } from '../store/transfer/open-ends.ts'
import { type TransferResult, transferStore } from '../store/transfer/transfer.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { requireNoPositionals } from './positionals.ts'
import { escapeForTerminal } from './terminal/escape.ts'

type Location = Omit<StoreLocation, 'databaseConnections'>

/** The value is never part of an error: it can contain a password. @throws UsageError */
const parseUrl = (flag: 'from' | 'to', text: string): Location => {
  try {
    const location = parseDatabaseUrl(text)
    if (location !== null) return location
  } catch (error) {
    if (error instanceof ConfigValueError) throw new UsageError(`--${flag} ${error.message}`)
    throw error
  }
  throw new UsageError(`--${flag} must be sqlite:PATH or postgres://…`)
}

const parseLocations = (args: ParsedArgs): { readonly from: Location; readonly to: Location } => {
  const [from, to] = [args.text('from'), args.text('to')]
  if (from === undefined && to === undefined) throw new UsageError('--from or --to is missing')
  const configured = (): Location => {
    const env = loadEnv()
    return requireValid(readRawConfig(env, ['DATABASE_URL']), env).DATABASE_URL
  }
  return {
    from: from === undefined ? configured() : parseUrl('from', from),
    to: to === undefined ? configured() : parseUrl('to', to),
  }
}

const count = (value: number, unit: string): string => `${value.toLocaleString('en')} ${unit}`

const summaryText = (to: string, result: TransferResult): string =>
  `${escapeForTerminal(to)}: ${count(result.messages, 'messages')} of ${count(result.events, 'events')} up to db_id ${result.last_db_id}, ${count(result.quarantined, 'quarantined')}, verified. The last pass took ${(result.stopped_ms / 1_000).toFixed(1)} s. Set DATABASE_URL to this database, and start the gateways.`

/** `migrate`: moves the store to another database. */
export const migrateCommand: CliCommand = {
  name: 'migrate',
  summary: 'move the store to another database, from SQLite to PostgreSQL or back',
  usage: ['--from URL --to URL [--json]'],
  about: `Copies everything with its ids, so that clients resume with the cursors they have. The gateways of the source can run
meanwhile: once everything is copied, the command asks to stop them, and ends seconds after they have stopped. The
target must not exist yet. No gateway starts on it before the end, nor on the source afterwards. After an interruption,
run the same command again: it continues. Each page is compared with its copy by count and digest.
A flag that is left out has the value of DATABASE_URL or DATABASE_URL_FILE, so that no password is on the command line.`,
  flags: {
    from: { value: 'URL', description: 'the store to move, as in DATABASE_URL' },
    to: { value: 'URL', description: 'where to, as in DATABASE_URL' },
    json: { description: 'print a summary as a JSON object' },
  },
  examples: [
    ['deepsoc-gateway migrate --from sqlite:data/gateway.db --to postgres://soc@db.example/soc', 'Move to PostgreSQL'],
    ['deepsoc-gateway migrate --to sqlite:data/new.db', 'Move the store of DATABASE_URL to a file'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const { from, to } = parseLocations(args)
    const source = createSource(from)
    const target = createTarget(to)
    const result = await transferStore({
      source,
      target,
      signal: io.signal,
      onProgress: (done, total, following) =>
        io.progress.show({ label: following ? 'following' : 'copying', done, total, unit: 'rows', failed: 0 }),
      onCaughtUp: () =>
        io.note(
          `Everything is copied. Stop the gateways that use ${source.where}: the migration then ends within seconds.`,
        ),
    })
    io.progress.clear()
    const summary = { from: source.where, to: target.where, ...result }
    await io.out.write(`${args.switch('json') ? JSON.stringify(summary) : summaryText(target.where, result)}\n`)
    return EXIT.ok
  },
}
