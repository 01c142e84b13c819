import { clientSecretBasic, localLock, memoryRecords, memoryStore } from 'evertoken'
import { backChannelLogout, createUserTokenManager, storedSessions } from 'evertoken/session'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { describe, expect } from 'vitest'
import type { AuthorizationServer } from '../../demo/authorization-server.ts'
import { rejection, test } from '../support/fixtures.ts'
import { LOGOUT_CLIENT, logIn, logOut, startLogoutEndpoint, startLogoutProvider } from '../support/logout-provider.ts'

/** Processes that share their sessions, and what they send. */
function startFleet({ issuer }: AuthorizationServer) {
  const sessions = storedSessions(memoryRecords())
  const shared = { store: memoryStore(), lock: localLock() }
  const revocations: string[] = []
  const seeing: typeof fetch = (url, init) => {
    if (String(url).endsWith('/revocation')) revocations.push(String(init?.body))
    return fetch(url, init)
  }
  const { clientId, secret } = LOGOUT_CLIENT
  const processes = [0, 1].map(() =>
    createUserTokenManager({
      ...shared,
      fetch: seeing,
      clients: { web: { issuer, clientId, authentication: clientSecretBasic(secret) } },
    }),
  )
  const [one, other] = processes
  if (one === undefined || other === undefined) throw new Error('expected two processes')
  return { one, other, sessions, revocations }
}

describe('N19.05 a real provider', () => {
  for (const { scope, isRevoked } of [
    { scope: 'openid', isRevoked: true },
    { scope: 'openid offline_access', isRevoked: false },
  ]) {
    test(`N19.05 tells of a logout with sid (scope ${scope}): that browser's session is over in the fleet`, async ({
      startProvider,
    }) => {
      await using endpoint = await startLogoutEndpoint()
      const server = await startLogoutProvider(startProvider, { url: endpoint.url, hasSid: true })
      const { one, other, sessions, revocations } = startFleet(server)
      endpoint.receive = backChannelLogout(one, { client: 'web', sessions })
      const browsers = [new Map<string, string>(), new Map<string, string>()]
      const [first, second] = [sessions.create(), sessions.create()]
      const logins: Awaited<ReturnType<typeof logIn>>[] = []
      for (const [n, session] of [first, second].entries()) {
        const login = await logIn(server, browsers[n] ?? new Map(), scope)
        logins.push(login)
        await one.forSession('web', session).adopt(login)
      }
      const before = await other.forSession('web', sessions.open(first.id)).source().getToken()
      expect(before.accessToken).toBe(logins[0]?.access_token)
      await logOut(server, browsers[0] ?? new Map())
      expect(endpoint.answers.map(({ status }) => status)).toEqual([200])
      const sent = endpoint.answers[0]?.token ?? ''
      expect(decodeProtectedHeader(sent)).toMatchObject({ typ: 'logout+jwt' })
      expect(decodeJwt(sent)).toHaveProperty('sid', decodeJwt(logins[0]?.id_token ?? '').sid)
      for (const tokens of [one, other]) {
        const error = await rejection(tokens.forSession('web', sessions.open(first.id)).source().getToken())
        expect(error).toMatchObject({ name: 'SessionError', reason: 'no_session' })
        expect(await tokens.forSession('web', sessions.open(second.id)).source().getToken()).toMatchObject({
          accessToken: logins[1]?.access_token,
        })
      }
      await one.close()
      expect(revocations.some((body) => body.includes(encodeURIComponent(logins[0]?.refresh_token ?? '-')))).toBe(
        isRevoked,
      )
      // The other one goes on at the server too.
      const renewed = await other.forSession('web', sessions.open(second.id)).source().getToken({ forceRenewal: true })
      expect(renewed.accessToken).not.toBe(logins[1]?.access_token)
    })
  }

  test('N19.05 N19.04 tells of a logout with sub only: all sessions are over; its token is good once', async ({
    startProvider,
  }) => {
    await using endpoint = await startLogoutEndpoint()
    const server = await startLogoutProvider(startProvider, { url: endpoint.url, hasSid: false })
    const { one, other, sessions } = startFleet(server)
    const receivers = [one, other].map((tokens) => backChannelLogout(tokens, { client: 'web', sessions }))
    endpoint.receive = receivers[0] ?? endpoint.receive
    const browser = new Map<string, string>()
    const ids: string[] = []
    for (const cookies of [browser, new Map<string, string>()]) {
      const session = sessions.create()
      await one.forSession('web', session).adopt(await logIn(server, cookies, 'openid'))
      ids.push(session.id)
    }
    await logOut(server, browser)
    expect(endpoint.answers.map(({ status }) => status)).toEqual([200])
    for (const id of ids) expect(await sessions.open(id).load()).toBeUndefined()
    const again = new URLSearchParams({ logout_token: endpoint.answers[0]?.token ?? '' })
    for (const receive of receivers) {
      expect((await receive(new Request(endpoint.url, { method: 'POST', body: again }))).status).toBe(400)
    }
    await one.close()
  })
})
