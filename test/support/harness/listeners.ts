import { readFileSync } from 'node:fs'
import { until } from './wait.ts'

/** Sockets of this machine that listen on a port over IPv4: each worker has its own. */
const listenersOn = (port: number): number => {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)
  return rows.filter((row) => {
    const [, address = '', , state] = row.trim().split(/\s+/)
    return address.endsWith(local) && state === '0A'
  }).length
}

/** Resolves when as many workers listen: before, what comes would all go to the first one. */
export const untilListening = async ({ url }: { url: string }, workers: number): Promise<void> => {
  const port = Number(new URL(url).port)
  await until(() => listenersOn(port) === workers, {
    what: `${workers} workers that listen`,
    saw: () => listenersOn(port),
  })
}
