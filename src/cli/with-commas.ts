/** A whole number for people, 39,698. As `toLocaleString('en')` has it, which takes Node 20 ms to read its tables for. */
export const withCommas = (value: number): string => String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');
