import type Database from 'better-sqlite3'

/** Prepared statements by name. Readers choose their shapes, by the number of events and filters, so there is a bound. */
export class StatementCache {
  readonly #most: number
  /** In the order of their last use. */
  readonly #statements = new Map<string, Database.Statement>()

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#statements.size
  }

  /** @param prepare called where the statement is not at hand */
  get(key: string, prepare: () => Database.Statement): Database.Statement {
    const statement = this.#statements.get(key) ?? prepare()
    this.#statements.delete(key)
    this.#statements.set(key, statement)
    if (this.#statements.size > this.#most) this.#statements.delete(this.#statements.keys().next().value!)
    return statement
  }

  clear(): void {
    this.#statements.clear()
  }
}
