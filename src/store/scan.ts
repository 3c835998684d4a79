/** Greater than every db_id and rejected_id. */
export const MAX_DB_ID = Number.MAX_SAFE_INTEGER

/** Rows scanned per call if types or senders are filtered, so that a filter that matches nothing does not scan the whole store. */
export const SCAN_WINDOW = 2_000
