export type { ClientAssertionContext, ClientAssertionService } from './assertion-service.ts'
export { authenticationFor } from './assertion-service.ts'
export type { ClientDefinition, LifetimeOptions, MemoryLimit } from './client-definition.ts'
export type { ClientDPoP, ClientDPoPOption } from './client-dpop.ts'
export { checkLifetime } from './client-settings.ts'
export { type EffectiveRequest, effectiveRequest, shapeOf } from './effective-request.ts'
export { createMachineTokens, type MachineTokens } from './machine-tokens.ts'
export { createClientOpener, type OpenClient } from './open-client.ts'
export type { StoreEntry, StoreKeyMaker } from './store-entries.ts'
export type {
  ClientDefinitions,
  OutgoingRequest,
  RequestCustomizer,
  TokenManagerOptions,
} from './token-manager-options.ts'
export type { RequestFor } from './typed-request.ts'
