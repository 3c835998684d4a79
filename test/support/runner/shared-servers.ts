import { createDatabase, type Postgres, startPostgres } from '../servers/postgres.ts'
import { type Broker, startBroker } from '../servers/rabbitmq.ts'

/** Servers that test files share. */
export type SharedServers = {
  /** Environment that tells a test file their addresses; PostgreSQL gives each file a separate database. */
  envFor(needs: readonly string[]): Promise<NodeJS.ProcessEnv>
  dispose(): Promise<void>
}

/** Starts the servers among these needs, except those that the environment already names. */
export const startSharedServers = (needs: ReadonlySet<string>): SharedServers => {
  const broker: Promise<Broker> | undefined =
    needs.has('rabbitmq') && !process.env.TEST_RABBITMQ_URL ? startBroker() : undefined
  const postgres: Promise<Postgres> | undefined =
    needs.has('postgres') && !process.env.TEST_POSTGRES_URL ? startPostgres() : undefined
  // A server that fails to start fails each file that needs it.
  for (const server of [broker, postgres]) server?.catch(() => undefined)
  return {
    async envFor(wanted) {
      const env: NodeJS.ProcessEnv = {}
      if (broker && wanted.includes('rabbitmq')) {
        env.TEST_RABBITMQ_URL = (await broker).url
        env.TEST_RABBITMQ_CONTROL = (await broker).control
      }
      if (postgres && wanted.includes('postgres')) env.TEST_POSTGRES_URL = await createDatabase((await postgres).url)
      return env
    },
    async dispose() {
      const started = await Promise.allSettled([broker, postgres])
      for (const server of started) if (server.status === 'fulfilled') await server.value?.dispose()
    },
  }
}
