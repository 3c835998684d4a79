// needs: postgres
import { checkLog } from '../../support/store/contract.ts'
import { POSTGRES } from '../../support/store/postgres-store.ts'

checkLog(POSTGRES)
