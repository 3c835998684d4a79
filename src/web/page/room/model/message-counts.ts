import type { Entry } from './entry.ts'
import { ROLES, type Role } from './roles.ts'

interface RoundCount {
  readonly round: number
  messages: number
  errors: number
  /** The smallest db_id of the round. */
  firstId: number
}

const MINUTE_MS = 60_000
/** Maximum number of types and rounds, which bounds the memory for hostile publishers. */
const MAX_KINDS = 2_000
const PLACE = Object.fromEntries(ROLES.map((role, index) => [role, index])) as Record<Role, number>

/** Counts of loaded messages by role, type, round and minute. */
export class MessageCounts {
  readonly roles = new Map<Role, number>()
  readonly types = new Map<string, number>()
  readonly rounds = new Map<number, RoundCount>()
  /** Minutes since 1970 → messages by role, in the order of ROLES. */
  readonly minutes = new Map<number, Uint32Array>()

  add(entry: Entry): void {
    const { role, type, round, id, at, tone } = entry
    this.roles.set(role, (this.roles.get(role) ?? 0) + 1)
    const ofType = this.types.get(type) ?? 0
    if (ofType > 0 || this.types.size < MAX_KINDS) this.types.set(type, ofType + 1)
    this.#minute(at)[PLACE[role]]! += 1
    if (round === null) return
    const known = this.rounds.get(round)
    const errors = tone === 'error' ? 1 : 0
    if (known === undefined) {
      if (this.rounds.size >= MAX_KINDS) return
      this.rounds.set(round, { round, messages: 1, errors, firstId: id })
      return
    }
    known.messages += 1
    known.errors += errors
    known.firstId = Math.min(known.firstId, id)
  }

  #minute(at: number): Uint32Array {
    const minute = Number.isFinite(at) ? Math.floor(at / MINUTE_MS) : 0
    const known = this.minutes.get(minute)
    if (known !== undefined) return known
    const fresh = new Uint32Array(ROLES.length)
    this.minutes.set(minute, fresh)
    return fresh
  }
}

/** Messages per minute, by role. */
interface Rates {
  /** Seconds since 1970. */
  readonly times: number[]
  /** Interval between times in seconds. */
  readonly step: number
  /** By role in the order of ROLES, each as long as `times`. */
  readonly values: number[][]
}

const STEPS_MIN = [1, 2, 5, 10, 30, 60, 180, 360, 720, 1_440, 10_080]

/** Returns the message rates in at most `max` steps, including minutes without messages. Pure. */
export const computeRates = (minutes: ReadonlyMap<number, Uint32Array>, max: number): Rates => {
  if (minutes.size === 0) return { times: [], step: 60, values: ROLES.map(() => []) }
  let [first, last] = [Number.POSITIVE_INFINITY, 0]
  for (const minute of minutes.keys()) [first, last] = [Math.min(first, minute), Math.max(last, minute)]
  const step = STEPS_MIN.find((one) => (last - first) / one < max - 1) ?? STEPS_MIN.at(-1)!
  const begin = Math.floor(first / step)
  const length = Math.floor(last / step) - begin + 1
  const values = ROLES.map(() => new Array<number>(length).fill(0))
  for (const [minute, counts] of minutes) {
    const at = Math.floor(minute / step) - begin
    for (let role = 0; role < counts.length; role++) values[role]![at]! += counts[role]! / step
  }
  return { times: Array.from({ length }, (_, index) => (begin + index) * step * 60), step: step * 60, values }
}
