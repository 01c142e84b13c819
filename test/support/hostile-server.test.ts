import { describe, expect } from 'vitest'
import { test } from './fixtures.ts'
import { echo, rejecting, script, unauthorized, withMetadata } from './handlers.ts'
import { errorJson, hang, reset, tokenJson } from './hostile-server.ts'

describe('the hostile server', () => {
  test('remembers requests in full and tells connections apart', async ({ server }) => {
    const bytes = new Uint8Array([0xff, 0, 0x61])
    await (await fetch(server.tokenEndpoint, { method: 'POST', body: new URLSearchParams({ a: 'b c' }) })).text()
    await (await fetch(`${server.origin}/x?y`, { method: 'PUT', body: bytes, headers: { connection: 'close' } })).text()
    const [first, second] = server.requests
    expect(first).toMatchObject({ method: 'POST', url: '/token', body: 'a=b+c', n: 1, connection: 1 })
    expect(first?.form.get('a')).toBe('b c')
    expect(second).toMatchObject({ method: 'PUT', url: '/x?y', n: 2 })
    expect(new Uint8Array(second?.bytes ?? [])).toEqual(bytes)
  })

  test('gives every request a token of its own', async ({ server }) => {
    const ask = async () => (await fetch(server.tokenEndpoint, { method: 'POST' })).json()
    expect(await ask()).toEqual({ access_token: 'token-1', token_type: 'Bearer', expires_in: 3600 })
    server.answer = tokenJson({ expires_in: undefined, scope: 'a' })
    expect(await ask()).toEqual({ access_token: 'token-2', token_type: 'Bearer', scope: 'a' })
  })

  test('hangs, resets, is shut and comes back at the same address', async ({ server }) => {
    server.answer = () => hang
    const hanging = fetch(server.origin)
    const next = await server.nextRequest()
    expect([next.n, server.openSockets]).toEqual([1, 1])
    await server.shut()
    await expect(hanging).rejects.toThrow('fetch failed')
    await expect(fetch(server.origin)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await server.reopen()
    server.answer = () => reset
    await expect(fetch(server.origin)).rejects.toThrow('fetch failed')
    server.answer = () => ({ status: 204 })
    expect((await fetch(server.origin)).status).toBe(204)
  })
})

describe('handlers', () => {
  test('a script goes step by step and stays at its last one', async ({ server }) => {
    server.answer = script(
      () => errorJson(503, 'temporarily_unavailable'),
      tokenJson(),
      () => ({ status: 418 }),
    )
    const statuses: number[] = []
    for (let n = 0; n < 4; n++) statuses.push((await fetch(server.origin)).status)
    expect(statuses).toEqual([503, 200, 418, 418])
  })

  for (const { path, issuer } of [
    { path: '/.well-known/openid-configuration', issuer: '' },
    { path: '/.well-known/oauth-authorization-server', issuer: '' },
    { path: '/t/1/.well-known/openid-configuration', issuer: '/t/1' },
    { path: '/.well-known/oauth-authorization-server/t/1', issuer: '/t/1' },
  ]) {
    test(`${path} describes the issuer "${issuer}"`, async ({ server }) => {
      server.answer = withMetadata(tokenJson(), { jwks_uri: undefined })
      expect(await (await fetch(server.origin + path)).json()).toEqual({
        issuer: server.origin + issuer,
        token_endpoint: server.tokenEndpoint,
        revocation_endpoint: `${server.origin}/revoke`,
      })
      expect(await (await fetch(server.tokenEndpoint)).json()).toHaveProperty('access_token')
    })
  }

  test('rejecting refuses the tokens that it was told, in any scheme', async ({ server }) => {
    const rejected = new Set(['a'])
    server.answer = rejecting(rejected, echo)
    const call = (authorization: string) => fetch(server.origin, { headers: { authorization } })
    const refused = await call('DPoP a')
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"'])
    expect((await call('Bearer a')).status).toBe(401)
    expect(await (await call('Bearer b')).json()).toMatchObject({
      method: 'GET',
      headers: { authorization: 'Bearer b' },
    })
  })

  test('a challenge may come in several lines', async ({ server }) => {
    server.answer = unauthorized(['Basic', 'Bearer error="insufficient_scope"'], { status: 403 })
    const { status, headers } = await fetch(server.origin)
    expect([status, headers.get('www-authenticate')]).toEqual([403, 'Basic, Bearer error="insufficient_scope"'])
  })
})
