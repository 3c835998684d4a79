import * as assert from 'uvu/assert'
import { getJson, type HttpResult, type Json, postJson, until } from '../harness/wait.ts'
import type { Gateway } from '../servers/gateway.ts'

let rooms = 0

/** Returns an event id that is unique in this process. */
export const newRoom = (name = 'room'): string => {
  rooms += 1
  return `${name}-${rooms}`
}

/** Returns the URL of an event below /api/events, with its id encoded. */
export const eventUrl = (gateway: Pick<Gateway, 'url'>, event_id: string): string =>
  `${gateway.url}/api/events/${encodeURIComponent(event_id)}`

/** A message as an agent publishes it. */
export const chat = (n: number, extra: Record<string, Json> = {}): Record<string, Json> => ({
  message_from: '_captain',
  message_type: 'llm_response',
  message_content: { data: { text: `message ${n}` }, timestamp: '2026-11-22T10:00:00' },
  ...extra,
})

/** Returns this many messages. */
export const chats = (count: number, make: (n: number) => Json = chat): Json[] =>
  Array.from({ length: count }, (_, index) => make(index + 1))

/**
 * Publishes one message, or an array in requests of up to 1,000, over HTTP.
 * @returns the db_ids
 * @throws Error on any status but 201
 */
export const publish = async (gateway: Pick<Gateway, 'url'>, event_id: string, messages: Json): Promise<number[]> => {
  const ids: number[] = []
  const batches: Json[] = Array.isArray(messages) ? [] : [messages]
  if (Array.isArray(messages)) {
    for (let from = 0; from < messages.length; from += 1_000) batches.push(messages.slice(from, from + 1_000))
  }
  for (const batch of batches) {
    const answer = await postJson(`${eventUrl(gateway, event_id)}/messages`, batch)
    if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`)
    ids.push(...[answer.body.data].flat().map(({ db_id }: Json) => db_id))
  }
  return ids
}

/** Returns every page of an event over REST, from the beginning or after a cursor. */
export const readPages = async (
  gateway: Pick<Gateway, 'url'>,
  event_id: string,
  query = '',
  after = 0,
): Promise<Json[][]> => {
  const pages: Json[][] = []
  let cursor = after
  for (;;) {
    const url = `${eventUrl(gateway, event_id)}/messages?last_message_db_id=${cursor}${query === '' ? '' : `&${query}`}`
    const { status, text, body } = await getJson(url)
    if (status !== 200) throw new Error(`${status} ${text}`)
    pages.push(body.data)
    if (!body.has_more) return pages
    assert.ok(body.last_message_db_id > cursor, `the cursor stays at ${cursor} although has_more is said`)
    cursor = body.last_message_db_id
  }
}

export const listDbIds = (messages: Json[]): number[] => messages.map(({ db_id }) => db_id)

/** Returns the db_ids of an event over REST. */
export const restIds = async (gateway: Pick<Gateway, 'url'>, event_id: string, query = ''): Promise<number[]> =>
  listDbIds((await readPages(gateway, event_id, query)).flat())

/** Asserts that a response is an error of this status and code, in the common error format. */
export const isError = (answer: HttpResult, status: number, code: string): void => {
  assert.is(answer.status, status, answer.text)
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  assert.is(answer.body?.status, 'error', answer.text)
  assert.is(answer.body.code, code, answer.text)
  for (const key of ['message', 'hint']) {
    assert.type(answer.body[key], 'string', answer.text)
    assert.ok(answer.body[key].length > 0, `${key} is empty`)
  }
}

/**
 * Returns one sample of a Prometheus text, or the sum of all samples of a bare name; 0 if there is none. Throws on a
 * line that is neither a sample nor a comment.
 */
export const metric = async (gateway: Pick<Gateway, 'url'>, sample: string): Promise<number> => {
  const { status, text } = await getJson(`${gateway.url}/metrics`)
  assert.is(status, 200, text)
  return getSampleValue(parseMetrics(text), sample)
}

export const getSampleValue = (samples: Map<string, number>, sample: string): number => {
  const labelled = [...samples].filter(([name]) => name.startsWith(`${sample}{`))
  return samples.get(sample) ?? labelled.reduce((sum, [, value]) => sum + value, 0)
}

const SAMPLE = /^([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})?) (NaN|[+-]?Inf|-?\d\S*)$/

/** @throws Error with the first line that is not Prometheus text */
export const parseMetrics = (text: string): Map<string, number> => {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ') || line.startsWith('# TYPE ')) continue
    const [, name, value] = SAMPLE.exec(line) ?? []
    if (name === undefined) throw new Error(`no sample: ${line}`)
    samples.set(name, Number(value))
  }
  return samples
}

/** Waits until an edge has all messages of its core. */
export const edgeIsLive = (edge: Pick<Gateway, 'url'>): Promise<unknown> => {
  let last = ''
  const isLive = async (): Promise<boolean> => {
    const { body, text } = await getJson(`${edge.url}/readyz`)
    last = text
    return (body.upstream ?? body.data?.upstream)?.state === 'live'
  }
  return until(isLive, { what: 'an edge that is live', saw: () => last })
}
