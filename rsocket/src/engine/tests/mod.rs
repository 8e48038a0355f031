mod calls;
mod credit;
mod endings;
mod fragments;
mod setup;
mod support;
mod unexpected;
