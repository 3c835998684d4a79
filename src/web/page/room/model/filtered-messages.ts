import { type Me, NOBODY } from './attention.ts'
import type { Entry } from './entry.ts'
import { compileFilter, EMPTY_FILTER, isEverything, type MessageFilter } from './filter.ts'
import { runInSlices } from './time-slices.ts'

function* backwards(entries: readonly Entry[], from: number): Generator<Entry> {
  for (let index = from - 1; index >= 0; index--) yield entries[index]!
}

/** The loaded messages that match a filter, kept up to date. Scans backwards from the newest message, in slices. */
export class FilteredMessages {
  filter: MessageFilter = EMPTY_FILTER
  /** Ascending. Without a filter, all loaded messages. */
  shown: readonly Entry[] = []
  #entries: readonly Entry[] = []
  #test: (entry: Entry) => boolean = () => true
  /** The messages before this index have not been scanned yet. */
  #unseen = 0
  #job = 0
  #me = NOBODY
  readonly #onChange: () => void

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Number of loaded messages that have been scanned. */
  get seen(): number {
    return this.#entries.length - this.#unseen
  }

  /** Returns whether the filter shows a message, once it has been scanned. */
  matches(entry: Entry): boolean {
    return this.#test(entry)
  }

  setFilter(filter: MessageFilter): void {
    this.filter = filter
    this.#test = compileFilter(filter, this.#me)
    this.#begin()
  }

  /** Sets the user of the page, for the messages that name it. */
  setMe(me: Me): void {
    this.#me = me
    if (this.filter.attention) this.setFilter(this.filter)
  }

  /** Replaces all messages. */
  replace(entries: readonly Entry[]): void {
    this.#entries = entries
    this.#begin()
  }

  /** @param entries the previous messages, followed by `fresh` */
  append(entries: readonly Entry[], fresh: readonly Entry[]): void {
    this.#entries = entries
    if (isEverything(this.filter)) this.shown = entries
    else this.shown = [...this.shown, ...fresh.filter(this.#test)]
    this.#onChange()
  }

  /** @param entries `count` older messages, followed by the previous ones */
  prepend(entries: readonly Entry[], count: number): void {
    this.#entries = entries
    if (isEverything(this.filter)) {
      this.shown = entries
      this.#onChange()
      return
    }
    this.#unseen += count
    this.#look()
  }

  /** @param entries the previous messages with `fresh` among them, in any place; both ascending */
  insert(entries: readonly Entry[], fresh: readonly Entry[]): void {
    this.#entries = entries
    // While a scan is under way, its position in the messages is no longer valid.
    if (isEverything(this.filter) || this.#unseen > 0) {
      this.#begin()
      return
    }
    const found = fresh.filter(this.#test)
    if (found.length > 0) this.shown = [...this.shown, ...found].sort((a, b) => a.id - b.id)
    this.#onChange()
  }

  #begin(): void {
    this.#job++
    if (isEverything(this.filter)) {
      this.shown = this.#entries
      this.#unseen = 0
      this.#onChange()
      return
    }
    this.shown = []
    this.#unseen = this.#entries.length
    this.#look()
  }

  async #look(): Promise<void> {
    const job = ++this.#job
    const found: Entry[] = []
    let scanned = 0
    const publish = (): boolean => {
      if (job !== this.#job) return false
      // Only together with its matches: those of a job that ends between two slices are dropped and must be found again.
      this.#unseen -= scanned
      scanned = 0
      if (found.length > 0) this.shown = [...found.splice(0).reverse(), ...this.shown]
      this.#onChange()
      return true
    }
    const work = (entry: Entry): void => {
      scanned++
      if (this.#test(entry)) found.push(entry)
    }
    await runInSlices(backwards(this.#entries, this.#unseen), work, publish)
  }
}
