import { renderEnvSample } from './config.ts'

process.stdout.write(renderEnvSample())
