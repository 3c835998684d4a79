// limit: 300s
import { checkLog } from '../../support/store/contract.ts'
import { SQLITE_INLINE, SQLITE_THREADED } from '../../support/store/sqlite-store.ts'

checkLog(SQLITE_INLINE)
checkLog(SQLITE_THREADED)
