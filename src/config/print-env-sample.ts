import { renderEnvSample } from './env-sample.ts'

process.stdout.write(renderEnvSample())
