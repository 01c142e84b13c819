import { randomBytes } from 'node:crypto'
import { startAuthorizationServer } from '../authorization-server.ts'
import type { Demo } from '../demo-options.ts'
import type { Report } from '../report.ts'
import { startResourceServer } from '../resource-server.ts'
import { coldStart, fleetRound } from './fleet-round.ts'
import type { SharedRedis } from './shared-redis.ts'
import type { Stage } from './stage.ts'
import { createTokenDesk } from './token-desk.ts'
import { createTokenUse } from './token-use.ts'
import { createFleet } from './workers.ts'

const LIFETIME_SECONDS = 6
/** Short enough for whoever dies to be waited out while the demo runs. */
const LEASE_MS = 1500

/** What the demo of a fleet is run with. */
export interface FleetDemo extends Demo {
  readonly size: number
  /** Stopped in the end. */
  readonly redis: SharedRedis
}

/**
 * Workers in processes of their own that share tokens through one Redis. Tells whether all calls went well, with as many token requests as
 * were promised.
 */
export async function runFleet({ size, redis, isOnce, report, signal }: FleetDemo): Promise<boolean> {
  const { stage, stop } = await setStage(redis, { report, signal })
  try {
    report.line(`workers 1 to ${size}`, 'start together, each in a process of its own')
    await Promise.all(Array.from({ length: size }, stage.fleet.add))
    await coldStart(stage)
    do await fleetRound(stage)
    while (!isOnce)
  } catch (error) {
    if (!signal.aborted) stage.mistake('demo', error instanceof Error ? error.message : 'unknown')
  } finally {
    await stop()
  }
  const { callsMade, callsFailed, callsThatWaited } = stage.fleet.totals()
  report.summary([
    ['calls made', callsMade],
    ['calls failed', callsFailed],
    ['token requests', stage.desk.requests],
    ['calls that waited for a token', callsThatWaited],
  ])
  return callsFailed === 0 && stage.mistakes() === 0
}

interface Setting {
  readonly report: Report
  readonly signal: AbortSignal
}

async function setStage(
  redis: SharedRedis,
  { report, signal }: Setting,
): Promise<{ stage: Stage; stop(): Promise<void> }> {
  const desk = createTokenDesk()
  const use = createTokenUse()
  const secret = randomBytes(32).toString('base64url')
  const server = await startAuthorizationServer({
    clients: [
      { client_id: 'catalog-worker', client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' },
    ],
    resources: { 'urn:demo:catalog': { scope: 'catalog:read', lifetimeSeconds: LIFETIME_SECONDS } },
    onTokenRequest: desk.admit,
  })
  const { issuer } = server
  const { onToken } = use
  const api = await startResourceServer({ issuer, audience: 'urn:demo:catalog', scope: 'catalog:read', onToken })
  const settings = {
    redisUrl: redis.url,
    // A Redis that others use as well holds nothing under these names.
    prefix: `evertoken-demo-${randomBytes(6).toString('hex')}:`,
    encryptionKey: randomBytes(32).toString('base64url'),
    issuer,
    secret,
    apiUrl: api.url,
    leaseMs: LEASE_MS,
  }
  const fleet = createFleet(settings, report)
  let mistakes = 0
  function mistake(who: string, text: string): void {
    mistakes++
    report.line(who, text, 'bad')
  }
  fleet.events.on('lost', ({ name }) => {
    if (!signal.aborted) mistake(name, 'ended by itself')
  })
  report.line('Redis', redis.own === undefined ? 'the one that REDIS_URL names' : `at ${redis.url}`)
  report.line('authorization server', `at ${issuer}`)
  report.line('catalog API', `at ${api.url}`)
  return {
    stage: { redis, desk, use, api, fleet, report, signal, mistake, mistakes: () => mistakes },
    async stop() {
      await fleet.stop()
      await Promise.all([server.close(), api.close(), redis.stop()])
    },
  }
}
