import { readFileSync, writeFileSync } from 'node:fs'

const MEGABYTE = 1_024

const megabytes = (pid: number, name: string): number =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / MEGABYTE

/** Returns the memory of a process that is in RAM, in MB, from /proc. */
export const residentMb = (pid: number): number => megabytes(pid, 'VmRSS')

/** Returns the most memory that a process has had in RAM since the last `resetPeak`, in MB. */
export const peakMb = (pid: number): number => megabytes(pid, 'VmHWM')

export const resetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5')
