/** The row of another process that shares the store. */
export interface PeerRow {
  /** Milliseconds since the process was last seen, by the clock of the database. */
  readonly age_ms: number
  /** The JSON object that it wrote; one of another version can have other members. */
  readonly status: string
}

/** A server of DATABASE_URL. `old_primary`: it accepts writes, but another server has been promoted since. */
export interface DatabaseServer {
  /** `host:port`. */
  readonly address: string
  readonly state: 'primary' | 'old_primary' | 'standby' | 'unreachable'
}

/** State of the database that several hosts share. */
export interface DatabaseState {
  readonly schema_version: number
  /** null if the server does not report it. */
  readonly timeline: number | null
  /** The setting of the server; empty if no standby is synchronous. */
  readonly synchronous_standby_names: string
  readonly standbys: number
  /** Standbys that stream and are synchronous; null if the user may not see it. */
  readonly synchronous_standbys: number | null
  /** Empty if DATABASE_URL names one server. */
  readonly servers: readonly DatabaseServer[]
}
