mod calls;
mod credit;
mod endings;
mod fragments;
mod layers;
mod setup;
mod support;
mod unexpected;
