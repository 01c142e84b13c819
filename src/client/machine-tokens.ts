import {
  createAuthorizer,
  type Destination,
  destinationRules,
  type RequestAuthorizer,
  type RequestTarget,
} from '../resource/index.ts'
import { closedError } from '../source/index.ts'
import {
  type AccessToken,
  ConfigurationError,
  type GetTokenOptions,
  type TokenRequest,
  type TokenSource,
} from '../token/index.ts'
import { type Clock, describe, systemClock, waitFor } from '../util/index.ts'
import { optionInvalid } from './check.ts'
import type { MachineClient } from './machine-client.ts'
import { type OpenClients, openClients } from './open-machine-tokens.ts'
import { outgoingRequest, type RequestCustomizer, withCustomizer } from './request-customizer.ts'
import type { ClientDefinitions, TokenManagerOptions } from './token-manager-options.ts'
import type { RequestFor } from './typed-request.ts'

/** The tokens of machine clients, by the names that the application gave them. */
export interface MachineTokens<Clients extends ClientDefinitions> {
  /** A usable access token, from memory if there is one. */
  getToken<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    request?: RequestFor<Clients[Name], Scope>,
    options?: GetTokenOptions,
  ): Promise<AccessToken>
  /** The same name and request always give the same source. */
  source<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    request?: RequestFor<Clients[Name], Scope>,
  ): TokenSource
  /** That source, ready for a transport. */
  authorizer<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    destination: Destination,
    request?: RequestFor<Clients[Name], Scope>,
  ): RequestAuthorizer
  /** Forgets one cached token, all of one client, or all. */
  delete<Name extends keyof Clients & string, const Scope extends string = string>(
    name?: Name,
    request?: RequestFor<Clients[Name], Scope>,
  ): Promise<void>
  /**
   * Forgets one cached token and tells the authorization server that it is not needed any more (RFC 7009). Without a token
   * in memory or in the store nothing is sent.
   */
  revoke<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    request?: RequestFor<Clients[Name], Scope>,
  ): Promise<void>
  /** Refuses new calls, ends renewals behind the callers, waits for those that have callers. */
  close(): Promise<void>
}

/**
 * Makes the tokens of machine clients. Nothing is sent before a token is asked for.
 *
 * @throws ConfigurationError that names client and option, for every mistake that shows without asking a server.
 */
export function createMachineTokens<const Clients extends ClientDefinitions>(
  options: TokenManagerOptions<Clients>,
): MachineTokens<Clients> {
  const open = openClients(options)
  const { clock = systemClock, telemetry, customizeRequest } = options
  let closing: Promise<void> | undefined
  return {
    getToken(name, request, getOptions) {
      try {
        return clientNamed(open, name).sourceOnce(request).getToken(getOptions)
      } catch (error) {
        return Promise.reject(error)
      }
    },
    source: (name, request) => clientNamed(open, name).source(request),
    authorizer(name, destination, request) {
      const client = clientNamed(open, name)
      const rules = destinationRules(destination, `client "${name}"`)
      const own = client.source(request)
      const sourceFor =
        customizeRequest === undefined ? () => own : customizedSource(client, name, { customizeRequest, request })
      return createAuthorizer({ sourceFor, rules, prover: client.prover, clock, telemetry })
    },
    async delete(name, request) {
      if (name === undefined && request !== undefined) throw optionInvalid('delete', 'a client name with a request')
      if (name === undefined) await Promise.all([...open.clients.values()].map((client) => client.deleteAll()))
      else if (request === undefined) await clientNamed(open, name).deleteAll()
      else await clientNamed(open, name).delete(request)
    },
    async revoke(name, request) {
      if (closing !== undefined) throw closedError()
      await clientNamed(open, name).revoke(request)
    },
    close() {
      closing ??= closeClients(open, clock)
      return closing
    },
  }
}

function clientNamed({ clients }: OpenClients, name: unknown): MachineClient {
  const client = clients.get(name as string)
  if (client !== undefined) return client
  const came = typeof name === 'string' ? `"${name}"` : describe(name)
  throw new ConfigurationError(`expected a client out of ${[...clients.keys()].join(', ')}, got ${came}`, {
    code: 'client_unknown',
  })
}

/** Asks the customiser for the token request of every outgoing request. */
function customizedSource(
  client: MachineClient,
  clientName: string,
  { customizeRequest, request }: { customizeRequest: RequestCustomizer; request: TokenRequest | undefined },
): (target: RequestTarget) => Promise<TokenSource> {
  return (target) =>
    withCustomizer(clientName, async () =>
      client.sourceOnce(await customizeRequest(outgoingRequest(target, { clientName, request }))),
    )
}

/** So long a lock may take to be given back: its lease ends by itself. */
const GIVE_BACK_MS = 1000

async function closeClients({ clients, envs, news, running }: OpenClients, clock: Clock): Promise<void> {
  const flights = envs.flatMap((env) => [...env.flights])
  for (const env of envs) env.isClosed = true
  news?.close()
  for (const client of clients.values()) client.forgetAll()
  for (const flight of flights) if (flight.callers === 0) flight.abort.abort(closedError())
  await Promise.allSettled(flights.map((flight) => flight.promise))
  const patience = new AbortController()
  const cancel = clock.setTimer(() => patience.abort(), GIVE_BACK_MS)
  await waitFor(Promise.all(running), patience.signal).catch(() => {})
  cancel()
}
