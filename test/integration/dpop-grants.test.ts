import { none, privateKeyJwt } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { calculateJwkThumbprint, decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import type { AuthorizationServer } from '../../demo/authorization-server.ts'
import { rejection, test } from '../support/fixtures.ts'
import { type Asked, askFor, type GrantClient, grantClient, push, type SentRequest } from '../support/grants.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import { proofOf } from '../support/proofs.ts'
import {
  authorizationRequest,
  CONFIDENTIAL,
  PUBLIC,
  REDIRECT_URI,
  signIn,
  startWebProvider,
} from '../support/web-provider.ts'

const { jwk } = await testKey('ES256')
const dpopKey = await createTestKey('ES256', 'dpop')
const another = await createTestKey('ES256', 'another')

const jtiOf = ({ form }: SentRequest) => decodeJwt(form.get('client_assertion') ?? '').jti
const nonceOf = (request: SentRequest) => proofOf(request).claims.nonce
const distinct = (values: readonly unknown[]) => new Set(values).size

/** A code of the real sign-in, in the form in which it is exchanged. */
async function codeGrant(server: AuthorizationServer, clientId: string, members = {}) {
  const { parameters, verifier } = authorizationRequest(members)
  const code = await signIn(server, { ...parameters, client_id: clientId })
  return { grantType: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }
}

const refreshGrant = (refreshToken: string | undefined) => ({
  grantType: 'refresh_token',
  refresh_token: String(refreshToken),
})

describe('F9.02 a nonce for a grant that can be used once', () => {
  test('F9.02 N12.03 a code exchange and a refresh answer a demand with a fresh assertion, a fresh proof and the same grant', async ({
    startProvider,
  }) => {
    const server = await startWebProvider(startProvider, 'required')
    const ring = dpopKeyRing(dpopKey.jwk)
    const asked: Asked = { authentication: privateKeyJwt(jwk), jkt: await ring.thumbprint() }
    const start = () => grantClient({ issuer: server.issuer, clientId: CONFIDENTIAL, ring })

    const exchanging = start()
    const response = await askFor(exchanging, await codeGrant(server, CONFIDENTIAL), asked)
    expect(response.token).toMatchObject({ tokenType: 'DPoP', jkt: asked.jkt })
    expect(response.idToken).toEqual(expect.any(String))

    // Another process: it has no nonce yet.
    const refreshing = start()
    const refreshed = await askFor(refreshing, refreshGrant(response.refreshToken), asked)
    expect(refreshed.token).toMatchObject({ tokenType: 'DPoP', jkt: asked.jkt })

    for (const { sent, grant } of [
      { sent: exchanging.sent, grant: 'code' },
      { sent: refreshing.sent, grant: 'refresh_token' },
    ]) {
      expect(sent.map(({ status }) => status)).toEqual([400, 200])
      expect(sent.map(nonceOf)).toEqual([undefined, expect.any(String)])
      expect(distinct(sent.map(jtiOf))).toBe(2)
      expect(distinct(sent.map((request) => proofOf(request).claims.jti))).toBe(2)
      expect(distinct(sent.map(({ form }) => form.get(grant)))).toBe(1)
    }
  })

  test('F9.02 F9.01 what comes next has the nonce already', async ({ startProvider }) => {
    const server = await startWebProvider(startProvider, 'required')
    const ring = dpopKeyRing(dpopKey.jwk)
    const asked: Asked = { authentication: privateKeyJwt(jwk), jkt: await ring.thumbprint() }
    const client = grantClient({ issuer: server.issuer, clientId: CONFIDENTIAL, ring })
    let { refreshToken } = await askFor(client, await codeGrant(server, CONFIDENTIAL), asked)
    for (let turn = 0; turn < 2; turn++) {
      refreshToken = (await askFor(client, refreshGrant(refreshToken), asked)).refreshToken
    }
    expect(client.sent.map(({ status }) => status)).toEqual([400, 200, 200, 200])
  })
})

describe('D5 N12.04 F9.11 the key of a refresh token', () => {
  /** A public client that has signed in, and whose ring has been told of another key since. */
  async function rotated(server: AuthorizationServer) {
    const ring = dpopKeyRing(dpopKey.jwk)
    const jkt = await ring.thumbprint()
    const client = grantClient({ issuer: server.issuer, clientId: PUBLIC, ring })
    const asked: Asked = { authentication: none(), jkt }
    const { refreshToken } = await askFor(client, await codeGrant(server, PUBLIC), asked)
    ring.rotate(another.jwk)
    expect(await ring.thumbprint()).not.toBe(jkt)
    return { client, asked, ring, refreshToken }
  }

  test('N12.04 D5 a public client refreshes with the key that it signed in with, whatever the ring has come to since', async ({
    startProvider,
  }) => {
    const server = await startWebProvider(startProvider, 'none')
    const { client, asked, refreshToken } = await rotated(server)
    const response = await askFor(client, refreshGrant(refreshToken), asked)
    expect(response.token).toMatchObject({ tokenType: 'DPoP', jkt: asked.jkt })
    expect(response.refreshToken).toEqual(expect.any(String))
    const [exchanged, refreshed] = client.sent as [SentRequest, SentRequest]
    expect(proofOf(refreshed).header).toEqual(proofOf(exchanged).header)
  })

  test('N12.04 the server binds the refresh token: with another key it would have been refused', async ({
    startProvider,
  }) => {
    const server = await startWebProvider(startProvider, 'none')
    const { client, asked, ring, refreshToken } = await rotated(server)
    const wrong = { ...asked, jkt: await ring.thumbprint() }
    const error = await rejection(askFor(client, refreshGrant(refreshToken), wrong))
    expect(error).toMatchObject({ name: 'TokenEndpointError', error: 'invalid_grant', code: 'request_refused' })
    expect(client.sent).toHaveLength(2)
  })

  test('N12.04 F9.11 a process that starts anew with the key goes on with the session', async ({ startProvider }) => {
    const server = await startWebProvider(startProvider, 'none')
    const { asked, refreshToken } = await rotated(server)
    const restarted = grantClient({ issuer: server.issuer, clientId: PUBLIC, ring: dpopKeyRing(dpopKey.pem) })
    const response = await askFor(restarted, refreshGrant(refreshToken), asked)
    expect(response.token.jkt).toBe(asked.jkt)
  })

  test('N12.12 a process that starts between sign-in and code exchange has the key all the same', async ({
    startProvider,
  }) => {
    const server = await startWebProvider(startProvider, 'none')
    const jkt = await dpopKeyRing(dpopKey.jwk).thumbprint()
    const grant = await codeGrant(server, PUBLIC, { dpop_jkt: jkt })
    const restarted = grantClient({ issuer: server.issuer, clientId: PUBLIC, ring: dpopKeyRing(dpopKey.jwk) })
    expect((await askFor(restarted, grant, { authentication: none(), jkt })).token.jkt).toBe(jkt)
  })

  test('F9.11 without the key nothing is sent, and the user has to sign in again', async ({ startProvider }) => {
    const server = await startWebProvider(startProvider, 'none')
    const { asked, refreshToken } = await rotated(server)
    // A process that starts later, with a ring that never had the key.
    const restarted = grantClient({ issuer: server.issuer, clientId: PUBLIC, ring: dpopKeyRing(another.jwk) })
    const error = await rejection(askFor(restarted, refreshGrant(refreshToken), asked))
    expect(error).toMatchObject({
      name: 'SessionError',
      code: 'dpop_key_lost',
      reason: 'dpop_key_lost',
      retryable: false,
    })
    expect(error.message).not.toContain(asked.jkt)
    expect(restarted.sent).toHaveLength(0)
    expect(server.tokenRequests).toHaveLength(1)
  })

  test('F9.11 N12.04 without any key nothing is sent either', async ({ startProvider }) => {
    const server = await startWebProvider(startProvider, 'none')
    const { client, asked, refreshToken } = await rotated(server)
    const keyless = { ...client, proofs: undefined }
    const error = await rejection(askFor(keyless, refreshGrant(refreshToken), asked))
    expect(error).toMatchObject({ name: 'SessionError', code: 'dpop_key_lost' })
    const code = await codeGrant(server, PUBLIC)
    expect(await rejection(askFor(keyless, code, asked))).toMatchObject({
      name: 'ConfigurationError',
      code: 'proof_missing',
    })
    expect(client.sent).toHaveLength(1)
  })
})

describe('D5 N12.12 dpop_jkt', () => {
  const rows = [
    { name: 'the parameter alone', members: (jkt: string) => ({ dpop_jkt: jkt }), isProved: false },
    { name: 'a proof alone', members: () => ({}), isProved: true },
    { name: 'both', members: (jkt: string) => ({ dpop_jkt: jkt }), isProved: true },
  ]

  /** Pushes a request, signs in with it and gives what the code is exchanged with. */
  async function pushed(server: AuthorizationServer, client: GrantClient, asked: Asked, row: (typeof rows)[number]) {
    const { parameters, verifier } = authorizationRequest(row.members(asked.jkt))
    const pushing = row.isProved ? client : { ...client, proofs: undefined }
    const pushAsked = row.isProved ? asked : { ...asked, jkt: undefined as never }
    const requestUri = await push(pushing, parameters, pushAsked)
    const code = await signIn(server, { client_id: CONFIDENTIAL, request_uri: requestUri })
    return { grantType: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }
  }

  for (const row of rows) {
    test(`N12.12 a pushed request with ${row.name} binds the code: the same key is accepted, another one refused`, async ({
      startProvider,
    }) => {
      const server = await startWebProvider(startProvider, 'none')
      const ring = dpopKeyRing(dpopKey.jwk)
      const asked: Asked = { authentication: privateKeyJwt(jwk), jkt: await ring.thumbprint() }
      const client = grantClient({ issuer: server.issuer, clientId: CONFIDENTIAL, ring })
      const grant = await pushed(server, client, asked, row)
      const stolen = await pushed(server, client, asked, row)

      const { token } = await askFor(client, grant, asked)
      expect(token.jkt).toBe(asked.jkt)
      const { jwk: proved } = proofOf(client.sent.at(-1) as SentRequest).header
      expect(await calculateJwkThumbprint(Object(proved))).toBe(asked.jkt)
      const thiefRing = dpopKeyRing(another.jwk)
      const thief = grantClient({ issuer: server.issuer, clientId: CONFIDENTIAL, ring: thiefRing })
      const error = await rejection(askFor(thief, stolen, { ...asked, jkt: await thiefRing.thumbprint() }))
      expect(error).toMatchObject({ name: 'TokenEndpointError', error: 'invalid_grant' })
    })
  }
})
