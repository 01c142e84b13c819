import { type Demo, type DemoOptions, demoOptions } from './demo-options.ts'
import { NoRedis, shareRedis } from './fleet/shared-redis.ts'
import { createReport } from './report.ts'

/** The exit code is 0, or 1 when a call failed or a count was wrong, 2 for wrong arguments, 3 where there is no Redis. */
async function main({ isOnce, fleet }: DemoOptions): Promise<number> {
  const stopping = new AbortController()
  process.once('SIGINT', () => stopping.abort()).once('SIGTERM', () => stopping.abort())
  const demo = { isOnce, report: createReport(process.stdout), signal: stopping.signal }
  const isGood = fleet === undefined ? await alone(demo) : await together(fleet, demo)
  return isGood ? 0 : 1
}

// Loaded when they run: the authorization server's package has something to say as soon as it is loaded.
const alone = async (demo: Demo): Promise<boolean> => (await import('./run-alone.ts')).runAlone(demo)

async function together(size: number, demo: Demo): Promise<boolean> {
  const redis = await shareRedis(process.env.REDIS_URL)
  const { runFleet } = await import('./fleet/run-fleet.ts')
  return runFleet({ size, redis, ...demo })
}

function failure(error: unknown): number {
  if (!(error instanceof NoRedis)) throw error
  console.error(error.message)
  return 3
}

const options = demoOptions(process.argv.slice(2))
if (typeof options === 'string') console.error(options)
process.exitCode = typeof options === 'string' ? 2 : await main(options).catch(failure)
