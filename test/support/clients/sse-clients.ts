/** Where a client runs. */
export type Runtime = 'Chromium' | 'Firefox' | 'Node' | 'Deno' | 'Bun' | 'Python'

/** A client that is not ours, and what it needs: a row of the table in docs/CLIENT.md. */
export interface SseClient {
  /** Markdown, as are the three columns. */
  readonly client: string
  readonly runtime: Runtime
  /** How tokens are sent, and what else it can do; absent if it needs an option. */
  readonly works?: string
  readonly option?: string
  readonly fails?: string
  /**
   * The client with its option. `url` and `token` are defined; `report(id)` must be called with the id of each message,
   * `giveUp()` when the client ends for good.
   */
  readonly code: string
  /** What makes it give up: a stop of the gateway, or one behind a proxy that answers 502 meanwhile. */
  readonly givesUp?: { readonly at: 'stop' | '502'; readonly code: string }
  /** Flags of the runtime. */
  readonly flags?: readonly string[]
  /** It keeps retrying after 502 of a proxy. */
  readonly behindProxy?: true
  /** SHUTDOWN_RETRY_SECONDS is longer than a restart, and nothing but such a restart is survived. */
  readonly needsRetry?: true
}

const LISTEN = `source.addEventListener('new_message', (event) => report(event.lastEventId))`
const WATCH = `source.addEventListener('error', () => source.readyState === 2 && giveUp())`
const HEADERS = `{ Authorization: 'Bearer ' + token }`

/** EventSource of a browser, which sends the cookie. */
const NATIVE = `const source = new EventSource(url, { withCredentials: true })
${LISTEN}
${WATCH}`

const FETCH_EVENT_SOURCE = (options: string): string => `
import { fetchEventSource } from '@microsoft/fetch-event-source'
const onmessage = ({ event, id }) => event === 'new_message' && report(id)
fetchEventSource(url, { headers: ${HEADERS}, openWhenHidden: true, onmessage, ${options} }).then(giveUp, giveUp)`

const EVENTSOURCE = `
import { EventSource } from 'eventsource'
const headers = ${HEADERS}
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
})
${LISTEN}
${WATCH}`

const REACT_NATIVE = (onError: string): string => `
import EventSource from 'react-native-sse'
const source = new EventSource(url, { headers: ${HEADERS} })
${LISTEN}
source.addEventListener('error', ${onError})`

const CLIENT_JS = `
const { openChannel } = await import(new URL('/client.js', url).href)
openChannel(url, { token: () => token, onMessage: ({ db_id }) => report(db_id) })`

/** Every client of the table, in its order. Versions are those of test/e2e/clients/package-lock.json. */
export const SSE_CLIENTS: readonly SseClient[] = [
  {
    client: '`/client.js`',
    runtime: 'Chromium',
    works: 'tokens by `token`, `fetchOptions` or a cookie; 502 of a proxy',
    code: CLIENT_JS,
    behindProxy: true,
  },
  { client: '`/client.js`', runtime: 'Firefox', works: 'the same', code: CLIENT_JS, behindProxy: true },
  {
    client: '`EventSource`',
    runtime: 'Chromium',
    works: 'tokens by a cookie, or by a ticket for each connection',
    fails: 'gives up for good at 502 of a proxy',
    code: NATIVE,
    givesUp: { at: '502', code: NATIVE },
  },
  {
    client: '`EventSource`',
    runtime: 'Firefox',
    option: '`SHUTDOWN_RETRY_SECONDS` longer than a restart; tokens as above',
    fails: 'gives up for good if the gateway is not back at the first retry, and at 502',
    code: NATIVE,
    givesUp: { at: 'stop', code: NATIVE },
    needsRetry: true,
  },
  {
    client: '`EventSource`, `onmessage` alone',
    runtime: 'Chromium',
    option: '`?event=message`',
    code: `const source = new EventSource(\`\${url}?event=message\`, { withCredentials: true })
source.onmessage = (event) => report(event.lastEventId)`,
  },
  {
    client: 'reconnecting-eventsource',
    runtime: 'Firefox',
    works: 'tokens by a cookie; 502 of a proxy',
    behindProxy: true,
    code: `
import ReconnectingEventSource from 'reconnecting-eventsource'
const source = new ReconnectingEventSource(url, { withCredentials: true })
${LISTEN}`,
  },
  {
    client: 'event-source-polyfill',
    runtime: 'Chromium',
    works: 'tokens by `headers`',
    fails: 'gives up for good at 502 of a proxy',
    code: `
import { EventSourcePolyfill } from 'event-source-polyfill'
const source = new EventSourcePolyfill(url, { headers: ${HEADERS} })
${LISTEN}
${WATCH}`,
    givesUp: {
      at: '502',
      code: `
import { EventSourcePolyfill } from 'event-source-polyfill'
const source = new EventSourcePolyfill(url, { headers: ${HEADERS} })
${WATCH}`,
    },
  },
  {
    client: '@microsoft/fetch-event-source',
    runtime: 'Chromium',
    option: '`onclose() { throw new Error() }`; tokens by `headers`',
    fails: 'without it, ends at a restart',
    code: FETCH_EVENT_SOURCE(`onclose() { throw new Error('ended') }`),
    givesUp: { at: 'stop', code: FETCH_EVENT_SOURCE('') },
  },
  {
    client: 'react-native-sse, with the browser’s XMLHttpRequest in place of React Native’s',
    runtime: 'Chromium',
    option: '`source.open()` again after an `error` with `xhrStatus` 0; tokens by `headers`',
    fails: 'without it, gives up for good if a connection breaks or cannot be made',
    code: REACT_NATIVE(`({ xhrStatus }) => xhrStatus === 0 && setTimeout(() => source.open(), 50)`),
    givesUp: { at: 'stop', code: REACT_NATIVE(`({ xhrStatus }) => xhrStatus === 0 && giveUp()`) },
  },
  {
    client: 'eventsource',
    runtime: 'Node',
    works: 'tokens by `fetch`; its timer does not keep a process alive',
    fails: 'gives up for good at 502 of a proxy',
    code: EVENTSOURCE,
    givesUp: { at: '502', code: EVENTSOURCE },
  },
  {
    client: 'eventsource-client',
    runtime: 'Node',
    works: 'tokens by `headers`',
    code: `
import { createEventSource } from 'eventsource-client'
const onMessage = ({ event, id }) => event === 'new_message' && report(id)
createEventSource({ url, headers: ${HEADERS}, onMessage })`,
  },
  { client: 'eventsource', runtime: 'Bun', works: 'the same', code: EVENTSOURCE },
  { client: 'eventsource', runtime: 'Deno', works: 'the same', code: EVENTSOURCE },
]

/** Returns the table of docs/CLIENT.md. */
export const sseClientTable = (): string =>
  [
    '| client | in | works | option needed | does not |',
    '| --- | --- | --- | --- | --- |',
    ...SSE_CLIENTS.map(({ client, runtime, works = '', option = '', fails = '' }) =>
      `| ${client} | ${runtime} | ${works} | ${option} | ${fails} |`.replace(/ {2,}/g, ' '),
    ),
  ].join('\n')
