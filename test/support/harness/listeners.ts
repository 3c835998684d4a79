import { readFileSync } from 'node:fs'
import { until } from './wait.ts'

/** Returns the number of sockets on this machine that listen on a port over IPv4; each worker has its own. */
const listenersOn = (port: number): number => {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)
  return rows.filter((row) => {
    const [, address = '', , state] = row.trim().split(/\s+/)
    return address.endsWith(local) && state === '0A'
  }).length
}

/** Resolves when this many workers listen; before that, the first one would get all connections. */
export const untilListening = async ({ url }: { url: string }, workers: number): Promise<void> => {
  const port = Number(new URL(url).port)
  await until(() => listenersOn(port) === workers, {
    what: `${workers} workers that listen`,
    saw: () => listenersOn(port),
  })
}
