// needs: postgres
// limit: 300s
import { checkLog } from '../../support/store/contract.ts'
import { POSTGRES } from '../../support/store/postgres-store.ts'

checkLog(POSTGRES)
