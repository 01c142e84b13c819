import { localLock, memoryRecords, memoryStore, none, privateKeyJwt } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import * as openid from 'openid-client'
import { describe, expect } from 'vitest'
import type { AuthorizationServer } from '../../demo/authorization-server.ts'
import { rejection, test } from '../support/fixtures.ts'
import { askFor, grantClient } from '../support/grants.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import {
  authorizationRequest,
  CONFIDENTIAL,
  PUBLIC,
  REDIRECT_URI,
  signIn,
  startWebProvider,
} from '../support/web-provider.ts'

const { jwk } = await testKey('ES256')
const k1 = await createTestKey('ES256', 'k1')
const k2 = await createTestKey('ES256', 'k2')

/** A login of a real user, as anybody's sign-in would hand it over. */
async function login(server: AuthorizationServer, clientId: string, ring = dpopKeyRing(k1.jwk)) {
  const { parameters, verifier } = authorizationRequest({ nonce: 'n-1' })
  const code = await signIn(server, { ...parameters, client_id: clientId })
  const client = grantClient({ issuer: server.issuer, clientId, ring })
  const authentication = clientId === PUBLIC ? none() : privateKeyJwt(jwk)
  const grant = { grantType: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }
  const jkt = await ring.thumbprint()
  const { token, refreshToken, idToken } = await askFor(client, grant, { authentication, jkt })
  return {
    access_token: token.accessToken,
    token_type: 'DPoP',
    expires_in: 600,
    refresh_token: refreshToken,
    id_token: idToken,
    jkt,
  }
}

describe('U2 D5 a real provider that rotates and detects reuse', () => {
  for (const { clientId, authentication } of [
    { clientId: CONFIDENTIAL, authentication: privateKeyJwt(jwk) },
    { clientId: PUBLIC, authentication: none() },
  ]) {
    test(`U2 U10 D5 A4 the session of a ${clientId} client goes on, bound to its key`, async ({ startProvider }) => {
      const server = await startWebProvider(startProvider, 'required')
      const subjects = storedSessions(memoryRecords())
      const shared = { subjects, store: memoryStore(), lock: localLock() }
      const start = () =>
        createUserTokenManager({
          ...shared,
          clients: { web: { issuer: server.issuer, clientId, authentication, dpop: dpopKeyRing(k1.jwk) } },
        })
      const [one, other] = [start(), start()]
      const first = await login(server, clientId)
      await one.forSubject('web', 'alice').adopt(first)
      const asked = [one, other].flatMap((tokens) =>
        Array.from({ length: 20 }, () =>
          tokens
            .forSubject('web', 'alice')
            .source()
            .getToken({ rejected: tokenOf(first) }),
        ),
      )
      const got = new Set((await Promise.all(asked)).map(({ accessToken }) => accessToken))
      expect(got.size).toBe(1)
      expect(got).not.toContain(first.access_token)
      const [token] = await Promise.all([other.forSubject('web', 'alice').source().getToken()])
      expect(token).toMatchObject({ tokenType: 'DPoP', jkt: first.jkt })
      // The login, and one refresh.
      expect(server.tokenRequests.filter(({ status }) => status === 200)).toHaveLength(2)
    })
  }

  test('F9.11 D5 a key that has left the ring: a confidential client goes on with the new one, a public client does not', async ({
    startProvider,
  }) => {
    const server = await startWebProvider(startProvider, 'none')
    const results: unknown[] = []
    for (const { clientId, authentication } of [
      { clientId: CONFIDENTIAL, authentication: privateKeyJwt(jwk) },
      { clientId: PUBLIC, authentication: none() },
    ]) {
      const subjects = storedSessions(memoryRecords())
      const ring = dpopKeyRing(k2.jwk)
      const clients = { web: { issuer: server.issuer, clientId, authentication, dpop: ring } }
      const tokens = createUserTokenManager({ subjects, clients })
      const user = tokens.forSubject('web', 'alice')
      await user.adopt(await login(server, clientId))
      const got = await user
        .source()
        .getToken()
        .catch((error) => error)
      results.push(got instanceof Error ? Object(got).reason : got.jkt === (await ring.thumbprint()))
    }
    expect(results).toEqual([true, 'dpop_key_lost'])
  })

  test('U9 revoke and signOut: the refresh token is dead at the server', async ({ startProvider }) => {
    const server = await startWebProvider(startProvider, 'none')
    const subjects = storedSessions(memoryRecords())
    const clients = {
      web: {
        issuer: server.issuer,
        clientId: CONFIDENTIAL,
        authentication: privateKeyJwt(jwk),
        dpop: dpopKeyRing(k1.jwk),
      },
    }
    const tokens = createUserTokenManager({ subjects, clients })
    for (const end of ['revoke', 'signOut'] as const) {
      const first = await login(server, CONFIDENTIAL)
      const user = tokens.forSubject('web', 'alice')
      await user.adopt(first)
      await user[end]()
      const again = createUserTokenManager({ subjects: storedSessions(memoryRecords()), clients })
      await again.forSubject('web', 'alice').adopt(first)
      const error = await rejection(
        again
          .forSubject('web', 'alice')
          .source()
          .getToken({ rejected: tokenOf(first) }),
      )
      expect(error).toMatchObject({ name: 'SessionError', reason: 'refresh_token_rejected' })
    }
  })
})

describe('U1 a login that a library has made', () => {
  test('U1 openid-client: what its code grant gives is adopted as it is, and refreshed', async ({ startProvider }) => {
    const server = await startWebProvider(startProvider, 'none')
    const config = await openid.discovery(new URL(server.issuer), PUBLIC, undefined, openid.None(), {
      execute: [openid.allowInsecureRequests],
    })
    const { parameters, verifier } = authorizationRequest({ nonce: 'n-1', client_id: PUBLIC })
    const callback = new URL(REDIRECT_URI)
    callback.searchParams.set('code', await signIn(server, parameters))
    callback.searchParams.set('iss', server.issuer)
    const login = await openid.authorizationCodeGrant(config, callback, {
      pkceCodeVerifier: verifier,
      expectedNonce: 'n-1',
    })
    const sessions = storedSessions(memoryRecords())
    const users = createUserTokenManager({
      clients: { web: { issuer: server.issuer, clientId: PUBLIC, authentication: none() } },
      transformClaims: ({ idTokenClaims }) => ({ nonce: idTokenClaims.nonce }),
    })
    const session = sessions.create()
    await users.forSession('web', session).adopt(login)
    const alice = users.forSession('web', sessions.open(session.id))
    expect(await alice.read()).toMatchObject({ subject: 'alice', issuer: server.issuer, claims: { nonce: 'n-1' } })
    const first = await alice.source().getToken()
    expect(first.accessToken).toBe(login.access_token)
    const next = await alice.source().getToken({ rejected: first })
    expect(next.accessToken).not.toBe(first.accessToken)
    await users.close()
  })
})

function tokenOf({ access_token, jkt }: { readonly access_token: string; readonly jkt: string }) {
  return { accessToken: access_token, tokenType: 'DPoP', expiresAt: 0, jkt } as const
}
