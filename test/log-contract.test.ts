// limit: 300s
import { checkLog } from './support/log-contract.ts'
import { SQLITE_INLINE, SQLITE_THREADED } from './support/log-store.ts'

checkLog(SQLITE_INLINE)
checkLog(SQLITE_THREADED)
