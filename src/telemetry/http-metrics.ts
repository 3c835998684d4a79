import { Counter, Histogram, type Registry } from 'prom-client'

/** Template, method and success statuses of a route. */
export interface MeasuredRoute {
  readonly path: string
  readonly method: string
  readonly responses: Readonly<Record<number, unknown>>
}

/** HTTP/2 allows any token as a method, so all others share one label: a client must not create series. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Statuses of server errors, which any route can return. */
const SERVER_ERRORS = ['500', '503']

/**
 * Registers the metrics of HTTP requests, at 0 for the successes and server errors of each route.
 *
 * @returns counts one response; `seconds` is the time until its header
 */
export const createHttpMetrics = (registry: Registry, routes: readonly MeasuredRoute[]) => {
  const registers = [registry]
  const requests = new Counter({
    name: 'gateway_http_requests_total',
    help: 'HTTP responses by route, method and status; a stream is counted when its headers are sent.',
    labelNames: ['route', 'method', 'status'],
    registers,
  })
  const duration = new Histogram({
    name: 'gateway_http_request_duration_seconds',
    help: 'Time from a request to its response; for a stream, to its headers.',
    labelNames: ['route', 'method'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  for (const { path: route, method, responses } of routes) {
    for (const status of [...Object.keys(responses), ...SERVER_ERRORS]) requests.inc({ route, method, status }, 0)
    duration.zero({ route, method })
  }
  return (route: string, httpMethod: string, status: number, seconds: number): void => {
    const method = METHODS.has(httpMethod) ? httpMethod : 'other'
    requests.inc({ route, method, status })
    duration.observe({ route, method }, seconds)
  }
}
