// workers: 1; full: 1, 3
import http from 'node:http'
import * as assert from 'uvu/assert'
import { type Visit, type VisitOptions, visit } from '../../support/clients/seam-client.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { startGateway } from '../../support/servers/gateway.ts'

const CONNECTS = runs(3_000, 30_000)
const AT_ONCE = 100
const WRITERS = 3
/** Number of concurrent events; each is replaced by a new one once it has this many messages. */
const EVENTS = 5
const MOST_MESSAGES = 150

const pick = (below: number): number => Math.floor(Math.random() * below)

const agent = new http.Agent({ keepAlive: true })

/** Publishes a batch over HTTP. @returns the db_ids of the response */
const publish = (url: string, event: string, count: number): Promise<number[]> =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify(Array.from({ length: count }, (_, n) => ({ message_type: 'seam', n })))
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const request = http.request(
      `${url}/api/events/${event}/messages`,
      { method: 'POST', agent, headers },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('error', reject).on('end', () => {
          if (response.statusCode !== 201) return reject(new Error(`${response.statusCode} ${text}`))
          resolve((JSON.parse(text) as { data: { db_id: number }[] }).data.map(({ db_id }) => db_id))
        })
      },
    )
    request.on('error', reject).end(body)
  })

/** Events in progress, and the stored messages of all events. */
class Stage {
  readonly stored = new Map<string, number[]>()
  readonly #current: string[] = []
  #made = 0

  constructor() {
    for (let place = 0; place < EVENTS; place++) this.#renew(place)
  }

  event(): string {
    return this.#current[pick(EVENTS)]!
  }

  /** Lower bound of the greatest id of the event; writers may be ahead. */
  last(event: string): number {
    return this.stored.get(event)!.at(-1) ?? 0
  }

  add(event: string, ids: readonly number[]): void {
    const all = this.stored.get(event)!
    all.push(...ids)
    const place = this.#current.indexOf(event)
    if (all.length >= MOST_MESSAGES && place >= 0) this.#renew(place)
  }

  #renew(place: number): void {
    const event = `seam-${this.#made++}`
    this.stored.set(event, [])
    this.#current[place] = event
  }
}

/** A way to connect: for the first time, again, at the end, or a few messages before the end. */
const plan = (stage: Stage, port: number): VisitOptions => {
  const several = pick(5) === 0
  const events = several ? [...new Set([stage.event(), stage.event(), stage.event()])] : [stage.event()]
  const base = several ? `/api/stream?event_id=${events.join('&event_id=')}&` : `/api/events/${events[0]}/stream?`
  const common = { port, events, liveMessages: 1 + pick(4), liveMs: 1 + pick(40) }
  const near = Math.max(0, stage.last(events[0]!) - pick(30))
  switch (pick(10)) {
    case 0:
      return { ...common, path: base, asked: 0 }
    case 1:
    case 2:
      return { ...common, path: `${base}last_message_db_id=latest`, asked: null }
    case 3:
    case 4:
      return { ...common, path: `${base}tail=${pick(9)}`, asked: null }
    case 5:
    case 6:
      return { ...common, path: `${base}last_message_db_id=1`, lastEventId: near, asked: near }
    default:
      return { ...common, path: `${base}last_message_db_id=${near}`, asked: near }
  }
}

const judge = (seen: Visit, stored: ReadonlyMap<string, number[]>): void => {
  const { events, asked, cursor, target, ids, caughtUpAfter, oddities } = seen
  const what = JSON.stringify({ ...seen, ids: ids.slice(0, 20) })
  assert.equal(oddities, [], what)
  if (asked !== null) assert.is(cursor, asked, what)
  const expected = events
    .flatMap((event) => stored.get(event)!)
    .filter((id) => id > cursor)
    .sort((one, other) => one - other)
  const wrong = ids.findIndex((id, index) => id !== expected[index])
  assert.is(wrong, -1, `at ${wrong}: ${ids[wrong]}, not ${expected[wrong]}, ${what}`)
  const promised = expected.filter((id) => id <= target).length
  assert.ok(caughtUpAfter !== null && caughtUpAfter >= promised, `${promised} before caught_up: ${what}`)
}

const seam = suite('the seam between history and live')

seam(`${CONNECTS} clients that connect while messages are committed see neither a gap nor a double`, async () => {
  const gateway = await startGateway()
  const port = Number(new URL(gateway.url).port)
  const stage = new Stage()
  const visits: Visit[] = []
  let over = false
  try {
    const writers = Array.from({ length: WRITERS }, async () => {
      while (!over) {
        const event = stage.event()
        stage.add(event, await publish(gateway.url, event, 1 + pick(4)))
      }
    })
    let started = 0
    const readers = Array.from({ length: AT_ONCE }, async () => {
      while (!over && started++ < CONNECTS) visits.push(await visit(plan(stage, port)))
    })
    const reading = Promise.all(readers).finally(() => (over = true))
    await Promise.race([reading, Promise.all(writers)]).finally(() => (over = true))
    await Promise.all([reading, ...writers])
  } finally {
    over = true
    agent.destroy()
    await gateway.dispose()
  }
  for (const ids of stage.stored.values()) ids.sort((one, other) => one - other)
  assert.is(visits.length, CONNECTS)
  for (const seen of visits) judge(seen, stage.stored)
  const live = visits.reduce((sum, { ids, caughtUpAfter }) => sum + ids.length - caughtUpAfter!, 0)
  const history = visits.reduce((sum, { caughtUpAfter }) => sum + caughtUpAfter!, 0)
  assert.ok(live > CONNECTS / 20 && history > CONNECTS / 10, `${history} messages of history, ${live} live`)
})

seam.run()
