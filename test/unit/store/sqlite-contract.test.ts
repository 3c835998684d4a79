import { FULL } from '../../support/harness/tier.ts'
import { checkLog, WRITING } from '../../support/store/contract.ts'
import { SQLITE_INLINE, SQLITE_THREADED } from '../../support/store/sqlite-store.ts'

checkLog(SQLITE_INLINE)
// A thread for each test takes half a second of CPU time, and the other tests cover the same code.
checkLog(SQLITE_THREADED, FULL ? undefined : WRITING)
