import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ClientAssertion,
  type ClientAssertionService,
  type ClientAuthentication,
  type ClientDefinition,
  clientAssertion,
  createTokenManager,
  none,
  privateKeyJwt,
  type TokenRequest,
} from 'evertoken'
import { keyRing, publicJwkOf, signerFrom } from 'evertoken/keys'
import { assertionFromFile, nodeSigner, type Pkcs11Signer, pkcs11Signer } from 'evertoken/node'
import { SignJWT } from 'jose'
import * as engine from 'oauth4webapi'
import { afterAll, describe, expect, vi } from 'vitest'
import type { AuthorizationServer, AuthorizationServerOptions } from '../../demo/authorization-server.ts'
import { test } from '../support/fixtures.ts'
import { testKey } from '../support/keys.ts'
import { createSoftHsm, softHsmLibrary } from '../support/soft-hsm.ts'

const { oauthClientFor, sendAuthenticated, requestToken, authenticationFor } = await internals()

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const CLIENT_ID = 'machine'
const key = await testKey('ES256')
/** On CI the software HSM has to be there; elsewhere its row is left out where it is not. */
const hasHsm = softHsmLibrary !== undefined || process.env.CI !== undefined
const hsmSigner: Pkcs11Signer | undefined = hasHsm ? await signerOnToken() : undefined
const publicJwks = [key.publicJwk, ...(hsmSigner === undefined ? [] : [{ ...publicJwkOf(hsmSigner) }])]

/** What proves the client; made for one server, called on anew for every request. */
interface Proof {
  readonly own: ClientAuthentication
  readonly service?: ClientAssertionService
  readonly request?: () => Promise<TokenRequest>
}

/** An assertion as an application would make it. */
async function assertionFor(issuer: string): Promise<ClientAssertion> {
  const value = await new SignJWT()
    .setProtectedHeader({ alg: 'ES256', typ: 'client-authentication+jwt', kid: key.kid })
    .setIssuer(CLIENT_ID)
    .setSubject(CLIENT_ID)
    .setAudience(issuer)
    .setJti(crypto.randomUUID())
    .setIssuedAt()
    .setExpirationTime('1 minute')
    .sign(key.keyObject)
  return { type: JWT_BEARER, value }
}

const folder = await mkdtemp(join(tmpdir(), 'evertoken-'))
const file = join(folder, 'assertion')
afterAll(() => rm(folder, { recursive: true }))

const proofs: Readonly<Record<string, (issuer: string) => Proof>> = {
  'request parameter': (issuer) => ({
    own: none(),
    request: async () => ({ clientAssertion: await assertionFor(issuer) }),
  }),
  service: () => ({ own: none(), service: ({ issuer = '' }) => assertionFor(issuer) }),
  key: () => ({ own: privateKeyJwt(key.jwk) }),
  'key on Node': () => ({ own: privateKeyJwt(nodeSigner(key.pem, { kid: key.kid })) }),
  ring: () => ({ own: privateKeyJwt(keyRing([{ key: key.jwk }])) }),
  'signer elsewhere': () => ({
    own: privateKeyJwt({
      alg: 'ES256',
      kid: key.kid,
      publicJwk: key.publicJwk,
      sign: async (input) => (await signerFrom(key.pem)).sign(input),
    }),
  }),
  ...(hsmSigner !== undefined && { HSM: () => ({ own: privateKeyJwt(hsmSigner) }) }),
  file: (issuer) => ({
    own: clientAssertion(async (moment) => {
      // The platform replaces the file as often as it likes.
      await writeFile(file, (await assertionFor(issuer)).value)
      return assertionFromFile(file)(moment)
    }),
  }),
}

const settings = {
  scopes: ['openid', 'offline_access', 'read'],
  findAccount: (_context: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: { pushedAuthorizationRequests: { enabled: true } },
}

type Start = (options: AuthorizationServerOptions) => Promise<AuthorizationServer>

function startFor(startProvider: Start): Promise<AuthorizationServer> {
  return startProvider({
    clients: [
      {
        client_id: CLIENT_ID,
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: publicJwks },
        grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: ['https://client.example/callback'],
      },
    ],
    resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60, format: 'opaque' } },
    settings: settings as never,
  })
}

/** A refresh token of some user, as a sign-in would have left it. */
async function refreshTokenAt({ provider }: AuthorizationServer): Promise<string> {
  const client = await provider.Client.find(CLIENT_ID)
  if (client === undefined) throw new Error('the server does not know its client')
  const grant = new provider.Grant({ clientId: CLIENT_ID, accountId: 'alice' })
  grant.addOIDCScope('openid offline_access')
  const grantId = await grant.save()
  const token = new provider.RefreshToken({
    client,
    accountId: 'alice',
    grantId,
    gty: 'authorization_code',
    scope: 'openid offline_access',
    authTime: Math.floor(Date.now() / 1000),
    sessionUid: 'session',
    expiresWithSession: false,
    rotations: 0,
    iiat: Math.floor(Date.now() / 1000),
  } as never)
  return token.save()
}

const { signal } = new AbortController()

const endpoints: Readonly<Record<string, (server: AuthorizationServer, proof: Proof) => Promise<void>>> = {
  async token(server, proof) {
    const tokens = createTokenManager(optionsFor(server, proof))
    await tokens.getToken('api', await proof.request?.())
    await tokens.close()
  },
  async revocation(server, proof) {
    const tokens = createTokenManager(optionsFor(server, proof))
    await tokens.getToken('api', await proof.request?.())
    await tokens.revoke('api', await proof.request?.())
    await tokens.close()
  },
  async refresh(server, { own, service, request }) {
    const parameters = new URLSearchParams({ refresh_token: await refreshTokenAt(server) })
    const authentication = authenticationFor({ request: (await request?.()) ?? {}, service, own })
    const client = oauthClientFor(server.issuer)
    const response = await requestToken(client, { grantType: 'refresh_token', parameters, authentication, signal })
    expect(response.refreshToken).toEqual(expect.any(String))
  },
  async 'pushed authorization request'(server, { own, service, request }) {
    const authentication = authenticationFor({ request: (await request?.()) ?? {}, service, own })
    const client = oauthClientFor(server.issuer)
    const metadata = await client.server.metadata()
    const url = new URL(`${server.issuer}/request`)
    const wire = { ...metadata.wire, pushed_authorization_request_endpoint: url.href }
    const parameters = { response_type: 'code', redirect_uri: 'https://client.example/callback', scope: 'openid' }
    const { answer } = await sendAuthenticated(client, {
      subject: 'client "api"',
      authentication,
      url,
      metadata,
      signal,
      acceptedStatus: 201,
      send: ({ authenticate, options }) => {
        const challenge = { code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' }
        const sent = { ...parameters, ...challenge }
        return engine.pushedAuthorizationRequest(wire, { client_id: CLIENT_ID }, authenticate, sent, options)
      },
    })
    expect(answer.status).toBe(201)
  },
}

function optionsFor({ issuer }: AuthorizationServer, { own, service }: Proof) {
  const api: ClientDefinition = { issuer, clientId: CLIENT_ID, authentication: own, scope: 'read' }
  return { clients: { api }, clientAssertion: service }
}

describe('A1 A2 A4 A5 A7 A8 A9 every proof at every endpoint', () => {
  for (const [proofName, makeProof] of Object.entries(proofs)) {
    for (const [endpoint, call] of Object.entries(endpoints)) {
      test(`A4 F9.02 N2.01 ${proofName}: accepted at ${endpoint}, with a jti of its own for every attempt`, async ({
        startProvider,
      }) => {
        const server = await startFor(startProvider)
        const proof = makeProof(server.issuer)
        for (let attempt = 0; attempt < 2; attempt++) await call(server, proof)
        const attempts = endpoint === 'revocation' ? 4 : 2
        expect(server.assertions).toHaveLength(attempts)
        expect(new Set(server.assertions.map(({ claims }) => claims.jti)).size).toBe(attempts)
        for (const { header, claims } of server.assertions) {
          const kid = proofName === 'HSM' ? hsmSigner?.kid : key.kid
          expect(header).toEqual({ alg: 'ES256', typ: 'client-authentication+jwt', kid })
          expect(claims).toMatchObject({ iss: CLIENT_ID, sub: CLIENT_ID, aud: server.issuer })
          expect(Number(claims.exp) - Number(claims.iat)).toBe(60)
        }
      })
    }
  }
})

async function signerOnToken(): Promise<Pkcs11Signer> {
  const hsm = createSoftHsm([{ label: 'client', id: '01', kind: 'P-256' }])
  const { library, tokenLabel, pin } = hsm
  const signer = await pkcs11Signer({ library, tokenLabel, pin, keyLabel: 'client', kid: 'on-the-token' })
  afterAll(async () => {
    await signer.close()
    hsm.remove()
  })
  return signer
}

/** Refresh and pushed requests have no door of their own yet; the seam that they will use is the one that all requests go through. */
async function internals() {
  const oauth = await vi.importActual<typeof import('../../src/oauth/index.ts')>('../../src/oauth/index.ts')
  const exchange = await vi.importActual<typeof import('../../src/oauth/authenticated-exchange.ts')>(
    '../../src/oauth/authenticated-exchange.ts',
  )
  const service = await vi.importActual<typeof import('../../src/client/assertion-service.ts')>(
    '../../src/client/assertion-service.ts',
  )
  const { systemClock, createServerTime } =
    await vi.importActual<typeof import('../../src/util/index.ts')>('../../src/util/index.ts')
  const { noTelemetry } =
    await vi.importActual<typeof import('../../src/telemetry/index.ts')>('../../src/telemetry/index.ts')
  const oauthClientFor = (issuer: string): import('../../src/oauth/index.ts').OAuthClient => {
    const clock = systemClock
    const channel = oauth.createBackChannel({ fetch: undefined, clock })
    return {
      clientName: 'api',
      clientId: CLIENT_ID,
      server: oauth.discoveredServer(issuer, { channel, clock }),
      channel,
      clock,
      serverTime: createServerTime(),
      telemetry: noTelemetry,
      limits: oauth.LIFETIME_LIMITS,
      acceptsNarrowedScope: true,
    }
  }
  return {
    oauthClientFor,
    requestToken: oauth.requestToken,
    sendAuthenticated: exchange.sendAuthenticated,
    authenticationFor: service.authenticationFor,
  }
}
