import { limit } from '../harness/limits.ts'
import { getJson, type HttpResult, type Json, until } from '../harness/wait.ts'
import { everyWorker, type Gateway } from '../servers/gateway.ts'
import { parseMetrics } from '../stages/rooms.ts'

/** A fault is reported, and its end too, within this time. */
export const REPORT_MS = limit(10_000)

/** A component and its error code, as in /readyz and in `gateway_component_faults`. */
export type NamedFault = { readonly component: string; readonly code: string }

/** `headers`: of a caller with the scope `admin`, if the gateway requires tokens. */
type Addressed = Pick<Gateway, 'url'> & { readonly headers?: Record<string, string> }

/** Returns the first answer of any worker: connections to one that hangs are not answered. */
export const anyAnswer = async (url: string, headers: Record<string, string> = {}): Promise<HttpResult> => {
  const leave = new AbortController()
  const asked = Array.from({ length: 8 }, () => getJson(url, { headers, signal: leave.signal }))
  try {
    return await Promise.any(asked)
  } finally {
    leave.abort()
    await Promise.allSettled(asked)
  }
}

/** Returns the faults that /readyz of one worker lists. */
export const readFaults = async (gateway: Addressed): Promise<Json[]> =>
  (await anyAnswer(`${gateway.url}/readyz`)).body.faults ?? []

const isMeasured = (text: string, { component, code }: NamedFault): boolean =>
  parseMetrics(text).get(`gateway_component_faults{component="${component}",code="${code}"}`)! >= 1

/**
 * Waits until a fault is in /readyz of a worker and in the metrics, and returns it as /readyz has it.
 * @param startedAt when the fault began, in milliseconds since 1970; with it, `since` must be within {@link REPORT_MS}
 */
export const faultNamed = async (gateway: Addressed, named: NamedFault, startedAt?: number): Promise<Json> => {
  const { component, code } = named
  const { url, headers } = gateway
  let last = ''
  const fault = await until(
    async () => {
      const { body, text } = await anyAnswer(`${url}/readyz`, headers)
      last = text
      return body.faults?.find((one: Json) => one.component === component && one.code === code)
    },
    { what: `${component}: ${code} in /readyz`, saw: () => last, everyMs: 50 },
  )
  await until(async () => isMeasured((await anyAnswer(`${url}/metrics`, headers)).text, named), {
    what: `gateway_component_faults of ${component}: ${code}`,
    everyMs: 50,
  })
  const lateMs = startedAt === undefined ? 0 : Date.parse(fault.since) - startedAt
  if (lateMs > REPORT_MS) throw new Error(`${component}: ${code} was reported after ${lateMs} ms`)
  return fault
}

/**
 * Waits until every worker is ready, in /readyz and in the metrics.
 * @param startedAt when the fault ended, in milliseconds since 1970; with it, that must be within {@link REPORT_MS}
 * @param workers number of workers that must respond
 */
export const faultCleared = async (gateway: Addressed, startedAt: number, workers: number): Promise<void> => {
  let last = ''
  const ready = async (): Promise<boolean> => {
    const { status, text } = await anyAnswer(`${gateway.url}/readyz`)
    last = text
    return status === 200
  }
  const cleared = async (): Promise<boolean> => {
    const { text } = await anyAnswer(`${gateway.url}/metrics`)
    const samples = parseMetrics(text)
    last = text.match(/^gateway_(?:ready|workers|component_faults).*$/gm)?.join('; ') ?? text
    if (samples.get('gateway_ready') !== 1 || samples.get('gateway_workers') !== workers) return false
    return everyWorker(ready)
  }
  const timeoutMs = Math.max(0, startedAt + REPORT_MS - Date.now())
  await until(cleared, { what: 'ready again', saw: () => last, timeoutMs, everyMs: 50 })
}
