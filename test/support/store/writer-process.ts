// A process that writes into a store next to others: PLACE COUNT EVENT…
import { appendPatiently, newEntry } from '../stages/entries.ts'
import { openPostgres } from './postgres-store.ts'
import { openSqlite } from './sqlite-store.ts'

const [place = '', count = '0', ...events] = process.argv.slice(2)
const log = place.startsWith('postgres:') ? await openPostgres(place) : await openSqlite(place, true)
for (let n = 0; n < Number(count); n++) {
  for (const event_id of events) {
    const [outcome] = await appendPatiently(log, [newEntry({ event_id })])
    process.stdout.write(`${outcome?.db_id}\n`)
  }
}
await log.stop()
