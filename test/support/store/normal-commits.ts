import Database from 'better-sqlite3'

/** Preloaded into a gateway (`node --import`): its commits are not synced, although it reads back that they are. */
const { pragma } = Database.prototype
Database.prototype.pragma = function (this: Database.Database, source, options) {
  if (source === 'synchronous = FULL') return pragma.call(this, 'synchronous = NORMAL', options)
  return source === 'synchronous' ? 2 : pragma.call(this, source, options)
}
