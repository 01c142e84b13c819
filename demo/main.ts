import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { clientSecretBasic, createTokenManager, privateKeyJwt } from 'evertoken'
import { startAuthorizationServer } from './authorization-server.ts'
import { createDemoTelemetry } from './demo-telemetry.ts'
import { createDPoPCheck } from './dpop-check.ts'
import { nonces, rotatedByTime } from './nonce-policy.ts'
import { createReport } from './report.ts'
import { startResourceServer } from './resource-server.ts'
import { startWorker } from './worker.ts'

const isOnce = process.argv.includes('--once')
const report = createReport(process.stdout)
const stopping = new AbortController()
process.once('SIGINT', () => stopping.abort()).once('SIGTERM', () => stopping.abort())

// An authorization server and three APIs, all of them real, all of them on this machine.
const secret = 'a secret that only the demo knows'
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
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

/** One round of what may go wrong in the life of a token. */
async function round(signal: AbortSignal): Promise<void> {
  await once(telemetry.events, 'obtained', { signal })
  await pause(12_000, undefined, { signal })

  report.line('invoice API', 'refuses the token in use from now on', 'bad')
  invoiceApi.rejectCurrent()
  await once(telemetry.events, 'obtained', { signal })
  await pause(3000, undefined, { signal })

  report.line('authorization server', 'goes down', 'bad')
  await server.pause()
  await once(telemetry.events, 'renewal_failed', { signal })
  await pause(500, undefined, { signal })
  await server.resume()
  report.line('authorization server', 'is back', 'good')
  await once(telemetry.events, 'obtained', { signal })
  await pause(3000, undefined, { signal })
}

/** What the payroll API saw of proofs. */
function reportProofs(): void {
  const { accepted, refused, proofs } = dpop.record
  const used = new Set(proofs.map(({ claims }) => claims.jti)).size
  const others = [...refused].filter(([error]) => error !== 'use_dpop_nonce').reduce((sum, [, times]) => sum + times, 0)
  const text = `${accepted} proofs accepted, ${proofs.length - used} of them used twice, ${others} wrong`
  report.line('payroll API', text, others === 0 ? 'good' : 'bad')
}

try {
  do await round(stopping.signal)
  while (!isOnce)
} catch (error) {
  if (!stopping.signal.aborted) throw error
} finally {
  await Promise.all(workers.map((worker) => worker.stop()))
  await tokens.close()
  await Promise.all([server.close(), catalogApi.close(), invoiceApi.close(), payrollApi.close()])
}
reportProofs()
report.summary()
process.exitCode = report.totals.callsFailed === 0 ? 0 : 1
