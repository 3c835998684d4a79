import type Database from 'better-sqlite3'

/** LRU cache of prepared statements. Limited in size, since clients determine the shape of queries by the number of events and filters. */
export class StatementCache {
  readonly #maxSize: number
  /** In order of last use, oldest first. */
  readonly #statements = new Map<string, Database.Statement>()

  constructor(maxSize: number) {
    this.#maxSize = maxSize
  }

  get size(): number {
    return this.#statements.size
  }

  /** @param prepare called if the statement is not cached */
  get(key: string, prepare: () => Database.Statement): Database.Statement {
    const statement = this.#statements.get(key) ?? prepare()
    this.#statements.delete(key)
    this.#statements.set(key, statement)
    if (this.#statements.size > this.#maxSize) this.#statements.delete(this.#statements.keys().next().value!)
    return statement
  }

  clear(): void {
    this.#statements.clear()
  }
}
