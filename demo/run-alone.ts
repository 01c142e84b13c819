import { generateKeyPairSync } from 'node:crypto'
import { type EventEmitter, once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { clientSecretBasic, createTokenManager, privateKeyJwt } from 'evertoken'
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts'
import type { Demo } from './demo-options.ts'
import { createDemoTelemetry } from './demo-telemetry.ts'
import { createDPoPCheck, type DPoPCheck } from './dpop-check.ts'
import { nonces, rotatedByTime } from './nonce-policy.ts'
import type { Report } from './report.ts'
import { type ResourceServer, startResourceServer } from './resource-server.ts'
import { startWorker } from './worker.ts'

const secret = 'a secret that only the demo knows'
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** An authorization server and three APIs, all of them real, all of them on this machine. */
interface Servers {
  readonly server: AuthorizationServer
  readonly catalogApi: ResourceServer
  readonly invoiceApi: ResourceServer
  readonly payrollApi: ResourceServer
  readonly dpop: DPoPCheck
}

async function startServers(report: Report): Promise<Servers> {
  const server = await startAuthorizationServer({
    clients: [
      { client_id: 'catalog-worker', client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' },
      { client_id: 'payroll-worker', client_secret: secret, dpop_bound_access_tokens: true },
      {
        client_id: 'invoice-worker',
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
      },
    ],
    resources: {
      'urn:demo:catalog': { scope: 'catalog:read', lifetimeSeconds: 10 },
      'urn:demo:invoices': { scope: 'invoice:read', lifetimeSeconds: 13 },
      'urn:demo:payroll': { scope: 'payroll:read', lifetimeSeconds: 30 },
    },
    requireDPoPNonce: true,
  })
  const { issuer } = server
  const catalogApi = await startResourceServer({ issuer, audience: 'urn:demo:catalog', scope: 'catalog:read' })
  const invoiceApi = await startResourceServer({ issuer, audience: 'urn:demo:invoices', scope: 'invoice:read' })
  // Takes a token only with a proof of its key, and a proof only with a nonce that is at most five seconds old.
  const dpop = createDPoPCheck({ nonces: rotatedByTime(nonces(), { everyMs: 5000 }) })
  const payrollApi = await startResourceServer({ issuer, audience: 'urn:demo:payroll', scope: 'payroll:read', dpop })
  report.line('authorization server', `at ${issuer}`)
  report.line('catalog API', `at ${catalogApi.url}`)
  report.line('invoice API', `at ${invoiceApi.url}`)
  report.line('payroll API', `at ${payrollApi.url}`)
  return { server, catalogApi, invoiceApi, payrollApi, dpop }
}

/** What an application in one process writes, and what may go wrong in the life of its tokens. Tells whether all calls went well. */
export async function runAlone({ isOnce, report, signal }: Demo): Promise<boolean> {
  const servers = await startServers(report)
  const { server, catalogApi, invoiceApi, payrollApi, dpop } = servers
  const { issuer } = server

  // All that an application writes: its clients, and a fetch for each API.
  const telemetry = createDemoTelemetry(report)
  const tokens = createTokenManager({
    clients: {
      catalog: {
        issuer,
        clientId: 'catalog-worker',
        authentication: clientSecretBasic(secret),
        scope: 'catalog:read',
        resource: 'urn:demo:catalog',
      },
      invoice: {
        issuer,
        clientId: 'invoice-worker',
        authentication: privateKeyJwt(privateKey),
        scope: 'invoice:read',
        resource: 'urn:demo:invoices',
      },
      payroll: {
        issuer,
        clientId: 'payroll-worker',
        authentication: clientSecretBasic(secret),
        scope: 'payroll:read',
        resource: 'urn:demo:payroll',
        dpop: true,
      },
    },
    telemetry,
  })
  const workers = [
    startWorker('catalog', { call: tokens.fetch('catalog', { baseUrl: catalogApi.url }), path: 'products', report }),
    startWorker('invoice', { call: tokens.fetch('invoice', { baseUrl: invoiceApi.url }), path: 'list', report }),
    startWorker('payroll', { call: tokens.fetch('payroll', { baseUrl: payrollApi.url }), path: 'slips', report }),
  ]

  try {
    do await round({ servers, events: telemetry.events, report, signal })
    while (!isOnce)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()))
    await tokens.close()
    await Promise.all([server.close(), catalogApi.close(), invoiceApi.close(), payrollApi.close()])
  }
  reportProofs(dpop, report)
  const { totals } = report
  report.summary([
    ['calls made', totals.callsMade],
    ['calls failed', totals.callsFailed],
    ['token requests', totals.tokenRequests],
    ['calls that waited for a token', totals.callsThatWaited],
    ['calls with a new nonce', totals.proofsRepeated],
  ])
  return totals.callsFailed === 0
}

interface Round {
  readonly servers: Servers
  readonly events: EventEmitter
  readonly report: Report
  readonly signal: AbortSignal
}

/** One round of what may go wrong in the life of a token. */
async function round({ servers: { server, invoiceApi }, events, report, signal }: Round): Promise<void> {
  await once(events, 'obtained', { signal })
  await pause(12_000, undefined, { signal })

  report.line('invoice API', 'refuses the token in use from now on', 'bad')
  invoiceApi.rejectCurrent()
  await once(events, 'obtained', { signal })
  await pause(3000, undefined, { signal })

  report.line('authorization server', 'goes down', 'bad')
  await server.pause()
  await once(events, 'renewal_failed', { signal })
  await pause(500, undefined, { signal })
  await server.resume()
  report.line('authorization server', 'is back', 'good')
  await once(events, 'obtained', { signal })
  await pause(3000, undefined, { signal })
}

/** What the payroll API saw of proofs. */
function reportProofs({ record }: DPoPCheck, report: Report): void {
  const { accepted, refused, proofs } = record
  const used = new Set(proofs.map(({ claims }) => claims.jti)).size
  const others = [...refused].filter(([error]) => error !== 'use_dpop_nonce').reduce((sum, [, times]) => sum + times, 0)
  const text = `${accepted} proofs accepted, ${proofs.length - used} of them used twice, ${others} wrong`
  report.line('payroll API', text, others === 0 ? 'good' : 'bad')
}
