// needs: postgres
// limit: 300s
import { checkLog } from './support/log-contract.ts'
import { POSTGRES } from './support/log-store-postgres.ts'

checkLog(POSTGRES)
