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
      const managers = [start(), start()]
      const users = managers.map((tokens) => tokens.forSubject('web', 'alice'))
      const first = await login(server, clientId)
      await users[0]?.adopt(first)
      const session = subjects.ofSubject({ issuer: server.issuer, clientId, subject: 'alice' })
      const refreshTokens = [first.refresh_token]
      const accessTokens = [first.access_token]
      for (let round = 1; round <= 3; round++) {
        const asked = users.flatMap((user) =>
          Array.from({ length: 20 }, () => user.source().getToken({ forceRenewal: true })),
        )
        const got = await Promise.all(asked)
        for (const token of got) expect(token).toMatchObject({ tokenType: 'DPoP', jkt: first.jkt })
        accessTokens.push(...new Set(got.map(({ accessToken }) => accessToken)))
        refreshTokens.push((await session.load())?.refreshToken)
        // The login, and one refresh a round.
        expect(server.tokenRequests.filter(({ status }) => status === 200)).toHaveLength(1 + round)
      }
      // Each one was spent, and the next one was another.
      expect(new Set(refreshTokens).size).toBe(4)
      expect(accessTokens).toHaveLength(4)
      expect(new Set(accessTokens).size).toBe(4)
    })

    test(`U2 D5 the provider detects reuse: a refresh token of a ${clientId} client that comes twice ends the session of whoever has the next one`, async ({
      startProvider,
    }) => {
      const server = await startWebProvider(startProvider, 'none')
      const ring = dpopKeyRing(k1.jwk)
      const subjects = storedSessions(memoryRecords())
      const clients = { web: { issuer: server.issuer, clientId, authentication, dpop: ring } }
      const user = createUserTokenManager({ subjects, clients }).forSubject('web', 'alice')
      const first = await login(server, clientId, ring)
      await user.adopt(first)
      await user.source().getToken({ forceRenewal: true })
      // Whoever has stolen the token of the login.
      const thief = grantClient({ issuer: server.issuer, clientId, ring })
      const spent = { grantType: 'refresh_token', refresh_token: String(first.refresh_token) }
      expect(await rejection(askFor(thief, spent, { authentication, jkt: first.jkt }))).toMatchObject({
        error: 'invalid_grant',
      })
      expect(await rejection(user.source().getToken({ forceRenewal: true }))).toMatchObject({
        name: 'SessionError',
        reason: 'refresh_token_rejected',
      })
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
