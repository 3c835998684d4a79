import { readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'

/** The middle value, or the mean of the two in the middle; undefined of nothing. */
export const median = (values: readonly number[]): number | undefined => {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Microseconds of the system's monotonic clock, which all processes of a machine share. */
export const nowMicros = (): number => Number(process.hrtime.bigint() / 1_000n)

interface Stat {
  readonly parent: number
  /** `ticks` and those of children that have ended. */
  readonly family: number
  /** User and system time of all threads, in clock ticks of 10 ms. */
  readonly ticks: number
}

const readStat = (pid: number): Stat | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may hold spaces.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number) as [number, number, number, number]
    return { parent: Number(fields[1]), ticks: user + system, family: user + system + childUser + childSystem }
  } catch {
    return null
  }
}

/** The processes given and all their descendants. */
export const processTree = (roots: readonly number[]): number[] => {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const stat = Number.isInteger(pid) ? readStat(pid) : null
    if (stat !== null) children.set(stat.parent, [...(children.get(stat.parent) ?? []), pid])
  }
  const tree: number[] = []
  const add = (pid: number): void => {
    tree.push(pid)
    for (const child of children.get(pid) ?? []) add(child)
  }
  for (const root of roots) add(root)
  return tree
}

/** CPU time (user + system) of process trees so far, in microseconds; the kernel counts in steps of 10 ms. */
export const cpuMicros = (roots: readonly number[]): number =>
  processTree(roots).reduce((sum, pid) => sum + (readStat(pid)?.ticks ?? 0) * 10_000, 0)

/**
 * CPU time that other processes than the bench's own have used so far, the hypervisor's share included, in
 * microseconds: what it grows by during a run was taken from that run.
 */
export const strangersMicros = (): number => {
  const all = readFileSync('/proc/stat', 'latin1').split('\n')[0]!.split(/\s+/).slice(1).map(Number)
  const [user, nice, system, , , irq, soft, stolen] = all as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const own = processTree([process.pid]).reduce((sum, pid) => sum + (readStat(pid)?.family ?? 0), 0)
  return (user + nice + system + irq + soft + stolen - own) * 10_000
}

const kilobytes = (text: string, field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)

/**
 * Resident memory of process trees in bytes. Pages that several of the processes share (nginx's shared memory) are
 * divided among them, so that each counts once.
 */
export const residentBytes = (roots: readonly number[]): number =>
  processTree(roots).reduce((sum, pid) => {
    try {
      return sum + kilobytes(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'), 'Pss') * 1024
    } catch {
      return sum
    }
  }, 0)

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  readonly date: string
  /** Load average of the last minute before the bench began. */
  readonly load: number
}

/** What figures of this machine are to be read against. */
export const machineFacts = (): Machine => ({
  cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
  cores: os.cpus().length,
  memoryGb: Math.round(os.totalmem() / 2 ** 30),
  kernel: `${os.type()} ${os.release()}`,
  node: process.version,
  date: new Date().toISOString(),
  load: Math.round(os.loadavg()[0]! * 100) / 100,
})
