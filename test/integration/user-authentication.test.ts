import { X509Certificate } from 'node:crypto'
import {
  attestJwtClientAuth,
  type ClientAssertionService,
  type ClientAuthentication,
  clientAssertion,
  clientSecretBasic,
  clientSecretJwt,
  memoryRecords,
  privateKeyJwt,
  selfSignedTlsClientAuth,
  tlsClientAuth,
} from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { nodeSigner } from 'evertoken/node'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose'
import type { ClientMetadata } from 'oidc-provider'
import { describe, expect } from 'vitest'
import { createAttester } from '../support/attestation.ts'
import { clientOf, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { issuedLogin } from '../support/issued-login.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import { test as mtlsTest } from '../support/mtls-fixtures.ts'
import { MTLS_RESOURCE, selfSignedClient, startMtlsProvider } from '../support/mtls-provider.ts'
import { startMtlsResourceServer, thumbprintOf } from '../support/mtls-servers.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { HOUR, type World, withMetadata } from '../support/user-fleet.ts'
import { verifyProof } from '../support/verify-proof.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const RESOURCE = 'urn:api'
const SECRET = 'a secret of sixty-four bytes, which is enough for any of the hashes'
const key = await testKey('ES256')

/** An assertion as anybody's own code would sign it. */
async function signed({ clientId, issuer }: { readonly clientId: string; readonly issuer?: string | undefined }) {
  const value = await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256', typ: 'client-authentication+jwt' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(String(issuer))
    .setIssuedAt()
    .setExpirationTime('1m')
    .sign(key.keyObject)
  return { type: JWT_BEARER, value }
}

interface Way {
  readonly name: string
  readonly registered: Partial<ClientMetadata>
  readonly authentication: ClientAuthentication
  readonly service?: ClientAssertionService
}

const byKey = { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key.publicJwk] } } as const
const WAYS: readonly Way[] = [
  {
    name: 'clientSecretJwt',
    registered: { token_endpoint_auth_method: 'client_secret_jwt', client_secret: SECRET },
    authentication: clientSecretJwt(SECRET),
  },
  {
    name: 'privateKeyJwt with a signer of Node',
    registered: byKey,
    authentication: privateKeyJwt(nodeSigner(key.pem)),
  },
  {
    name: 'clientAssertion of a function',
    registered: byKey,
    authentication: clientAssertion((context) => signed(Object(context))),
  },
  {
    name: 'the central service',
    registered: byKey,
    authentication: clientSecretBasic('a secret that is not the registered one'),
    service: (context) => signed(context),
  },
]

describe('A4 A5 U9 how the client of a user proves itself, at a real authorization server', () => {
  test.for(WAYS)(
    'A4 A5 $name: refreshes and revocations have a fresh assertion each, addressed to the issuer alone',
    async ({ registered, authentication, service }, { startProvider, recorder }) => {
      const provider = await startProvider({
        clients: [{ client_id: 'web', grant_types: ['client_credentials', 'refresh_token'], ...registered }],
        resources: { [RESOURCE]: { scope: 'read', lifetimeSeconds: 600, format: 'opaque' } },
        settings: { rotateRefreshToken: true },
      })
      const subjects = storedSessions(memoryRecords())
      const tokens = createUserTokenManager({
        subjects,
        clients: { web: { issuer: provider.issuer, clientId: 'web', authentication } },
        clientAssertion: service,
        telemetry: recorder,
      })
      const alice = tokens.forSubject('web', 'alice')
      const login = await issuedLogin(provider.provider, { clientId: 'web', resource: RESOURCE, scope: 'read' })
      await alice.adopt(login)
      await alice.source().getToken()
      const { accessToken } = await alice.source().getToken({ forceRenewal: true })
      const session = subjects.ofSubject({ issuer: provider.issuer, clientId: 'web', subject: 'alice' })
      const refreshToken = String((await session.load())?.refreshToken)
      const { AccessToken, RefreshToken } = provider.provider
      expect(await RefreshToken.find(refreshToken)).toBeDefined()
      await alice.signOut()

      expect(provider.tokenRequests.map(({ status }) => status)).toEqual([200, 200])
      // Two refreshes, and the revocation of the refresh token and of the access token that lives.
      expect(provider.assertions).toHaveLength(4)
      expect(recorder.events.filter(({ name }) => name === 'revocation_failed')).toEqual([])
      expect([await RefreshToken.find(refreshToken), await AccessToken.find(accessToken)]).toEqual([
        undefined,
        undefined,
      ])
      for (const { header, claims } of provider.assertions) {
        expect(header.typ).toBe('client-authentication+jwt')
        expect(claims).toMatchObject({ iss: 'web', sub: 'web', aud: provider.issuer })
      }
      expect(new Set(provider.assertions.map(({ claims }) => claims.jti)).size).toBe(4)
      await tokens.close()
    },
  )
})

describe('A4 A12 what proves the client beside that', () => {
  test('A4 an assertion that never changes goes out as it is, with refreshes and revocations', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const authentication = clientAssertion({ type: JWT_BEARER, value: 'made elsewhere' })
    const alice = discovering({ server, clock }, authentication).forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    await alice.source().getToken()
    await alice.signOut()
    const sent = posts(server)
    expect(sent.map(({ url }) => url)).toEqual(['/token', '/revoke', '/revoke'])
    for (const { form, headers } of sent) {
      const { client_id, client_assertion_type, client_assertion } = Object.fromEntries(form)
      expect([client_id, client_assertion_type, client_assertion]).toEqual(['machine', JWT_BEARER, 'made elsewhere'])
      expect(headers.authorization).toBeUndefined()
    }
    expect(rotating.isAlive('alice')).toBe(false)
  })

  test('A12 A4 an attestation, and a fresh proof of its key to the issuer with each request', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const attester = await createAttester({ now: () => clock.wallTime() })
    const authentication = attestJwtClientAuth(attester.attest)
    const alice = discovering({ server, clock }, authentication).forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    await alice.source().getToken()
    await alice.signOut()
    const proofs = posts(server).map(({ headers }) => decodeJwt(String(headers['oauth-client-attestation-pop'])))
    expect(posts(server).map(({ url }) => url)).toEqual(['/token', '/revoke', '/revoke'])
    expect(new Set(proofs.map(({ aud }) => aud))).toEqual(new Set([server.origin]))
    expect(new Set(proofs.map(({ jti }) => jti)).size).toBe(3)
    expect(attester.asked).toHaveLength(1)
  })
})

mtlsTest(
  'A6 N7.02 U9 clients that a certificate proves: refreshes and revocations go to the aliases over it, and the tokens are bound to it',
  async ({ authority, pairs, own, open }) => {
    const members = { grant_types: ['client_credentials', 'refresh_token'] }
    const byAuthority = {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=blue',
    } as const
    const clients = [
      { client_id: 'blue', ...byAuthority, ...members },
      { ...selfSignedClient('own', new X509Certificate(own.cert)), ...members },
    ]
    await using provider = await startMtlsProvider({ authority, clients })
    await using api = await startMtlsResourceServer(authority, provider)
    const { issuer } = provider
    const subjects = storedSessions(memoryRecords())
    const tokens = createUserTokenManager({
      subjects,
      clients: {
        blue: { issuer, clientId: 'blue', certificate: open(pairs.blue), authentication: tlsClientAuth() },
        own: { issuer, clientId: 'own', certificate: open(own), authentication: selfSignedTlsClientAuth() },
      },
    })
    for (const [name, { cert }] of [['blue', pairs.blue] as const, ['own', own] as const]) {
      const alice = tokens.forSubject(name, 'alice')
      await alice.adopt(
        await issuedLogin(provider.provider, { clientId: name, resource: MTLS_RESOURCE, scope: 'read' }),
      )
      const response = await alice.fetch({ baseUrl: api.origin })('/')
      expect([response.status, await response.json()]).toEqual([200, { refusal: null }])
      expect((await alice.source().getToken()).certificateThumbprint).toBe(thumbprintOf(cert))
      const refreshToken = String(
        (await subjects.ofSubject({ issuer, clientId: name, subject: 'alice' }).load())?.refreshToken,
      )
      await alice.signOut()
      expect(await provider.provider.RefreshToken.find(refreshToken)).toBeUndefined()
      const over = { listener: 'mtls', clientId: name, thumbprint: thumbprintOf(cert), authentication: ['none'] }
      expect(provider.tokenRequests.at(-1)).toMatchObject({ ...over, status: 200 })
      expect(provider.tokenRequests.at(-1)?.parameters.grant_type).toBe('refresh_token')
      expect(provider.revocations.at(-2)).toMatchObject({ ...over, status: 200, parameters: { token: refreshToken } })
    }
    expect(provider.tokenRequests).toHaveLength(2)
    await tokens.close()
  },
)

test('U12 A4 D5 two issuers side by side: each hears of its own tokens only, with its own proof of the client and its own DPoP key', async ({
  server,
  elsewhere,
  clock,
}) => {
  const rings = { here: await createTestKey('ES256', 'here'), there: await createTestKey('ES256', 'there') }
  const sides = [
    { name: 'here', at: server, authentication: privateKeyJwt(key.pem), path: 'one' },
    { name: 'there', at: elsewhere, authentication: clientSecretJwt(SECRET), path: 'other' },
  ] as const
  const ready = sides.map(({ name, at, authentication, path }) => {
    const rotating = createRotatingServer({ members: () => ({ token_type: 'DPoP' }) })
    const [token, revocation] = [`/${path}/token`, `/${path}/revoke`]
    const metadata = {
      issuer: at.origin,
      token_endpoint: `${at.origin}${token}`,
      revocation_endpoint: `${at.origin}${revocation}`,
    }
    at.answer = async (request) => {
      if (request.method === 'GET') return { body: JSON.stringify(metadata) }
      const answer = await rotating.answer({ ...request, url: request.url === revocation ? '/revoke' : '/token' })
      return { ...answer, headers: { 'dpop-nonce': `nonce-of-${name}` } }
    }
    const ring = dpopKeyRing(rings[name].jwk)
    return {
      name,
      at,
      path,
      rotating,
      ring,
      definition: { issuer: at.origin, clientId: 'machine', authentication, dpop: ring },
    }
  })
  const [here, there] = ready as [(typeof ready)[number], (typeof ready)[number]]
  const subjects = storedSessions(memoryRecords({ clock }), { clock })
  const clients = { here: here.definition, there: there.definition }
  const tokens = createUserTokenManager({ subjects, clients, clock })
  for (const { name, rotating, ring } of ready) {
    // The same user at both, with tokens that tell where they are from.
    const login = { ...rotating.login(`alice@${name}`), subject: 'alice', token_type: 'DPoP' }
    await tokens.forSubject(name, 'alice').adopt({ ...login, jkt: await ring.thumbprint() })
  }
  await clock.advance(HOUR)
  const users = ready.map(({ name }) => tokens.forSubject(name, 'alice'))
  for (let turn = 0; turn < 2; turn++) {
    const got = await Promise.all(users.map((user) => user.source().getToken({ forceRenewal: true })))
    expect(got.map(({ accessToken }) => accessToken)).toEqual(
      ready.map(({ name }) => `access-alice@${name}-${turn + 1}`),
    )
  }
  await Promise.all(users.map((user) => user.signOut()))
  for (const { name, at, path, rotating, ring } of ready) {
    const sent = posts(at)
    expect(sent.map(({ url }) => url)).toEqual([
      `/${path}/token`,
      `/${path}/token`,
      `/${path}/revoke`,
      `/${path}/revoke`,
    ])
    for (const [n, { form, headers, url }] of sent.entries()) {
      const assertion = form.get('client_assertion') ?? ''
      expect(decodeProtectedHeader(assertion).alg).toBe(name === 'here' ? 'ES256' : 'HS256')
      expect(decodeJwt(assertion).aud).toBe(at.origin)
      expect(form.get('token') ?? form.get('refresh_token')).toContain(`alice@${name}`)
      const { jkt, claims } = verifyProof(String(headers.dpop), { method: 'POST', url: `${at.origin}${url}` })
      expect([jkt, claims.nonce]).toEqual([await ring.thumbprint(), n === 0 ? undefined : `nonce-of-${name}`])
    }
    expect(rotating.isAlive(`alice@${name}`)).toBe(false)
  }
  await tokens.close()
})

/** A manager of one client of a server that says what it is. */
function discovering(world: World, authentication: ClientAuthentication) {
  const { server, clock } = world
  const web = clientOf(server, { issuer: server.origin, tokenEndpoint: undefined, authentication })
  const subjects = storedSessions(memoryRecords({ clock }), { clock })
  return createUserTokenManager({ subjects, clock, clients: { web } })
}

/** Everything but questions for metadata. */
function posts({ requests }: HostileServer) {
  return requests.filter(({ method }) => method === 'POST')
}
